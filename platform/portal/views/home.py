"""What runs, what it costs, what ends soon."""

from datetime import timedelta
from decimal import Decimal

from django.http import HttpRequest, HttpResponse

from billing import selectors as money
from billing.selectors import Balance
from common.clock import database_now
from portal.base import PortalView
from portal.rows import rows_of
from reservations import selectors
from reservations.states import LIVE, ReservationState

SOON = timedelta(hours=24)
MOST_SHOWN = 50
HOURS_WORTH_SAYING = 24 * 3650


class Home(PortalView):
    page = "portal/home.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        at = database_now()
        mine = selectors.reservations_of(actor=self.actor)
        live = list(mine.filter(state__in=[*LIVE, ReservationState.ENDING])[:MOST_SHOWN])
        rows = rows_of(reservations=live, at=at)
        hourly = sum((row.hourly_net for row in rows), Decimal(0))
        balance = money.balance(tenant_id=self.tenant.pk)
        lasts = _lasts(balance=balance, hourly=hourly)
        return self.show(
            at=at,
            rows=rows,
            soon=[row for row in rows if row.ends_at is not None and row.ends_at <= at + SOON],
            hourly=hourly,
            balance=balance,
            lasts=lasts,
            lasts_until=at + lasts if lasts is not None else None,
            node_count=selectors.live_node_count(tenant_id=self.tenant.pk),
        )


def _lasts(*, balance: Balance, hourly: Decimal) -> timedelta | None:
    """How long the money lasts if everything that runs goes on; net, so a little long where tax is due."""
    if hourly <= 0:
        return None
    hours = (balance.funds - balance.accrued) / hourly
    return timedelta(hours=float(max(hours, Decimal(0)))) if hours < HOURS_WORTH_SAYING else None
