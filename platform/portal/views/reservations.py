"""The list of reservations, the page of one, and the part of it that lives."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django_htmx.http import trigger_client_event

from accounts import selectors as accounts
from accounts.roles import Permission
from common.clock import database_now
from compliance.audit import selectors as audit
from portal import detail, progress
from portal.base import PortalView
from portal.paging import page_of
from portal.rows import rows_of
from portal.words import decision_in_words
from reservations import selectors
from reservations.models import Reservation
from reservations.states import FINAL, LIVE, ReservationState

FILTERS: dict[str, frozenset[str]] = {
    "live": frozenset({*LIVE, ReservationState.ENDING}),
    "ended": frozenset({ReservationState.ENDED}),
    "failed": frozenset({ReservationState.FAILED, ReservationState.CANCELLED}),
}
LATEST_EVENTS = 50
POWER_ACTIONS = ("power_on", "power_off", "power_cycle", "reboot")


@dataclass(frozen=True, kw_only=True)
class EventRow:
    ref: str
    at: datetime
    what: str
    who: str


class Reservations(PortalView):
    page = "portal/reservations.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        at = database_now()
        rows = selectors.reservations_of(actor=self.actor)
        chosen = request.GET.get("state", "")
        if chosen in FILTERS:
            rows = rows.filter(state__in=FILTERS[chosen])
        found = page_of(rows=rows, before=request.GET.get("before", ""))
        return self.show(
            at=at,
            found=found,
            rows=rows_of(reservations=found.items, at=at),
            chosen=chosen if chosen in FILTERS else "",
        )


class ReservationView(PortalView):
    """Whatever is about one reservation of the tenant's own."""

    def reservation(self, ref: str) -> Reservation:
        return selectors.reservation(actor=self.actor, ref=ref)

    def live_context(self, reservation: Reservation) -> dict[str, Any]:
        """What changes while one looks: state, steps, cost."""
        at = database_now()
        return {
            "reservation": reservation,
            "at": at,
            "jobs": progress.jobs(reservation=reservation, at=at),
            "metered_s": detail.metered_s(reservation=reservation, at=at),
            "cost": rows_of(reservations=[reservation], at=at)[0].cost,
            "is_final": reservation.state in FINAL,
            "can_see_cost": self.may(Permission.VIEW_BILLING),
            "can_audit": self.may(Permission.VIEW_AUDIT),
            "events": self.events(reservation) if self.may(Permission.VIEW_AUDIT) else [],
        }

    def events(self, reservation: Reservation) -> list[EventRow]:
        """The newest events about it; the tenant's own people by their address instead of an opaque id."""
        names = {member.user.ref: member.user.email for member in accounts.members(actor=self.actor)}
        found = audit.events_of(log_tenant_id=self.tenant.pk, subject_refs=[reservation.ref])[:LATEST_EVENTS]
        return [
            EventRow(ref=event.ref, at=event.at, what=event.what, who=names.get(event.actor_ref, event.who))
            for event in found
        ]


class Detail(ReservationView):
    page = "portal/reservation.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        hardware = detail.hardware(reservation=reservation)
        actions = selectors.actions(reservation=reservation)
        return self.show(
            **self.live_context(reservation),
            nodes=hardware.nodes,
            connections=hardware.connections,
            actions={action.name: action for action in actions},
            power_actions=[action for action in actions if action.name in POWER_ACTIONS],
            can_act=self.may(Permission.RESERVE),
            decision=decision_in_words(reservation.decision),
            certificates=detail.certificates(reservation=reservation),
            verify_command=f"python3 chapek_verify.py {reservation.ref}.audit.json --key chapek.vkey",
        )


class Live(ReservationView):
    """The living parts alone. When the state is no longer the one the page shows, the page is told to renew itself."""

    page = "portal/parts/live.html"

    def get(self, request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        answer = self.show(**self.live_context(reservation), oob=True)
        shown = request.GET.get("state", reservation.state)
        if shown != reservation.state:
            trigger_client_event(answer, "chapek:changed")
        return answer
