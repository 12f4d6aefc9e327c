"""The buyer's facts: asked for once after the first log-in, and kept up to date on the account page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.forms import TenantFactsForm, TenantForm
from accounts.models import User
from accounts.roles import Permission
from accounts.services import accept_documents, sign_up_tenant, update_tenant_facts
from common.actors import ActorKind
from common.errors import DomainError
from portal.base import PortalView


class Organisation(PortalView):
    """Shown to those who are logged in and act for no tenant yet."""

    page = "portal/organisation.html"

    def gate(self) -> HttpResponse | None:
        actor = self.request.actor
        if actor is None or actor.kind is ActorKind.STAFF:
            return super().gate()
        return redirect("portal:account") if actor.tenant_id is not None else None

    def get(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        form = TenantForm(initial={"billing_email": user.email if isinstance(user, User) else ""})
        return self.show(form=form)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = TenantForm(request.POST)
        user = request.user
        if form.is_valid() and isinstance(user, User):
            try:
                sign_up_tenant(
                    user=user,
                    facts=form.facts(),
                    accepted_document_ids=form.accepted_document_ids(),
                    request_id=self.actor.request_id,
                )
            except DomainError as error:
                form.add_domain_error(error)
            else:
                self.done(_("Your organisation is set up. Add an SSH key next: it is how you will get in."))
                return redirect("portal:keys")
        return self.show(form=form, status=422)


class Account(PortalView):
    """The tenant's facts and standing, and one's own log-in."""

    page = "portal/account.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        return self.show(
            acceptances=selectors.acceptances(actor=self.actor),
            to_accept=selectors.documents_to_accept(actor=self.actor),
            can_manage=self.may(Permission.MANAGE_TENANT),
        )


class EditFacts(PortalView):
    permission = Permission.MANAGE_TENANT
    page = "portal/facts.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        return self.show(form=TenantFactsForm(initial=TenantFactsForm.initial_of(self.tenant)))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = TenantFactsForm(request.POST)
        if form.is_valid():
            try:
                update_tenant_facts(actor=self.actor, facts=form.facts())
            except DomainError as error:
                form.add_domain_error(error)
            else:
                self.done(_("The facts are changed. Invoices issued from now on show them."))
                return redirect("portal:account")
        return self.show(form=form, status=422)


class AcceptDocuments(PortalView):
    """Accept the versions that the page showed; a text that changed since must be read first."""

    permission = Permission.MANAGE_TENANT

    def post(self, request: HttpRequest) -> HttpResponse:
        shown = {int(value) for value in request.POST.getlist("document") if value.isdecimal()}
        try:
            accept_documents(actor=self.actor, document_ids=shown | set(_accepted(self)))
        except DomainError as error:
            self.tell(error)
        else:
            self.done(_("Accepted and recorded."))
        return redirect("portal:account")


def _accepted(view: PortalView) -> list[int]:
    return list(selectors.acceptances(actor=view.actor).values_list("document_id", flat=True))
