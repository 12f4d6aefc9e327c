"""Cards on file and prepayment. The number is entered on the processor's own page; we never see it."""

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.roles import Permission
from billing import selectors, services
from billing.gateway import card_credit_limit, gateway_from_settings
from billing.models import PaymentMethod
from billing.states import CardState
from common.errors import DomainError, NotFound
from common.money import Money
from portal.base import PortalView


class TopUpForm(forms.Form):
    amount = forms.DecimalField(
        label=gettext_lazy("Amount in EUR"),
        min_value=10,
        max_value=100_000,
        max_digits=9,
        decimal_places=2,
        initial=100,
    )


class AddCard(PortalView):
    """Opens the processor's page. The strict content policy lets no form lead to another host, so a link does."""

    permission = Permission.PAY
    page = "portal/card_add.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:billing")

    def post(self, _request: HttpRequest) -> HttpResponse:
        back = f"{settings.CHAPEK_PUBLIC_URL}{reverse('portal:card_return')}"
        setup = services.begin_card_setup(
            tenant=self.tenant,
            actor=self.actor,
            gateway=gateway_from_settings(),
            success_url=back,
            cancel_url=f"{settings.CHAPEK_PUBLIC_URL}{reverse('portal:billing')}",
        )
        return self.show(url=setup.url)


class CardReturn(PortalView):
    """Where the processor sends the browser back to: asks it how the entry went. Its webhook says the same."""

    permission = Permission.PAY

    def get(self, _request: HttpRequest) -> HttpResponse:
        waiting = selectors.card_being_entered(actor=self.actor)
        if waiting is not None:
            try:
                card = services.refresh_card(
                    gateway=gateway_from_settings(),
                    credit_limit=card_credit_limit(),
                    actor=self.actor,
                    card_ref=waiting.ref,
                )
            except DomainError as error:
                self.tell(error)
            else:
                if card.state == CardState.ACTIVE:
                    self.done(_("%(card)s is on file.") % {"card": card})
        return redirect("portal:billing")


class RemoveCard(PortalView):
    permission = Permission.PAY
    page = "portal/confirm.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        card = self._card(ref)
        return self.show(
            title=_("Remove %(card)s?") % {"card": card},
            text=_("With the last card its credit line closes; what runs then draws on prepaid credit alone."),
            verb=_("Remove the card"),
            back="portal:billing",
        )

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        services.remove_card(actor=self.actor, card_ref=self._card(ref).ref, gateway=gateway_from_settings())
        self.done(_("The card is removed."))
        return redirect("portal:billing")

    def _card(self, ref: str) -> PaymentMethod:
        card = selectors.cards(actor=self.actor).filter(ref=ref, state=CardState.ACTIVE).first()
        if card is None:
            raise NotFound(_("There is no such card."))
        return card


class TopUp(PortalView):
    """Asks for a charge; a worker sends it, and the balance shows it when the processor has said yes."""

    permission = Permission.PAY

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:billing")

    def post(self, request: HttpRequest) -> HttpResponse:
        form = TopUpForm(request.POST)
        if not form.is_valid():
            for problem in form.errors["amount"]:
                self.tell(DomainError(f"{_('Amount')}: {problem}"))
            return redirect("portal:billing")
        try:
            services.request_top_up(
                tenant=self.tenant, amount=Money(form.cleaned_data["amount"]).rounded(), actor=self.actor
            )
        except DomainError as error:
            self.tell(error)
        else:
            self.done(_("The charge is on its way; the balance follows in a moment."))
        return redirect("portal:billing")
