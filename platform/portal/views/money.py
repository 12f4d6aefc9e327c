"""Balance, usage and invoices."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from accounts.roles import Permission
from billing import selectors
from billing.gateway import gateway_from_settings
from billing.models import UsageInterval
from billing.states import CardState
from common.clock import database_now
from portal.base import PortalView
from portal.paging import page_of
from portal.views.cards import TopUpForm

LATEST = 10


@dataclass(frozen=True)
class UsageRow:
    """A stretch of use with its seconds until now."""

    interval: UsageInterval
    seconds: int


class Billing(PortalView):
    permission = Permission.VIEW_BILLING
    page = "portal/billing.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        at = database_now()
        usage = selectors.usage(actor=self.actor).order_by("-pk")[:LATEST]
        return self.show(
            at=at,
            balance=selectors.balance(tenant_id=self.tenant.pk),
            invoices=page_of(rows=selectors.invoices(actor=self.actor), before=request.GET.get("before", "")),
            cards_configured=gateway_from_settings().is_configured,
            cards=selectors.cards(actor=self.actor).filter(state=CardState.ACTIVE),
            can_pay=self.may(Permission.PAY),
            top_up=TopUpForm(),
            usage=[UsageRow(interval=row, seconds=row.seconds(at=at)) for row in usage],
        )


class Invoice(PortalView):
    permission = Permission.VIEW_BILLING
    page = "portal/invoice.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        return self.show(invoice=selectors.invoice(actor=self.actor, ref=ref))
