"""Figures of reservations for Prometheus."""

from django.db.models import Count

from observability.metrics import Gauge
from reservations.models import Reservation
from reservations.states import FINAL, ReservationState


def gauges() -> list[Gauge]:
    """Reservations that are not over, by state; a state without any is 0."""
    states = [state.value for state in ReservationState if state not in FINAL]
    counted = Reservation.objects.filter(state__in=states).order_by().values_list("state").annotate(count=Count("pk"))
    values = {(state,): 0.0 for state in states} | {(state,): float(count) for state, count in counted}
    return [Gauge(name="chapek_reservations", help="Reservations not over yet", labels=("state",), values=values)]
