"""Reservations as lists show them: the row and what it came to, for any number of rows in one more query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing import selectors as money
from billing.selectors import CostSoFar
from reservations.models import Reservation


@dataclass(frozen=True, kw_only=True)
class Row:
    """``hourly_net`` is what an hour adds now: nothing while it is not metered."""

    reservation: Reservation
    cost: CostSoFar

    @property
    def hourly_net(self) -> Decimal:
        return self.cost.hourly_net

    @property
    def ends_at(self) -> datetime | None:
        return self.reservation.ends_at


def rows_of(*, reservations: Sequence[Reservation], at: datetime) -> list[Row]:
    costs = money.cost_of(reservation_refs=[item.ref for item in reservations], at=at)
    return [Row(reservation=item, cost=costs[item.ref]) for item in reservations]
