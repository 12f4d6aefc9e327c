"""Balance, usage and invoices."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from accounts.roles import Permission
from billing import selectors
from billing.models import UsageInterval
from common.clock import database_now
from portal.base import PortalView
from portal.paging import page_of

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
            usage=[UsageRow(interval=row, seconds=row.seconds(at=at)) for row in usage],
        )


class Invoice(PortalView):
    permission = Permission.VIEW_BILLING
    page = "portal/invoice.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        return self.show(invoice=selectors.invoice(actor=self.actor, ref=ref))
