"""What can be done to a reservation. Each asks first where it cannot be taken back, then makes one call."""

from typing import ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.roles import Permission
from common.errors import DomainError, NotFound
from portal.forms import FIXED, OPEN, ExtendForm
from portal.views.reservations import ReservationView
from reservations import selectors, services

UNPROCESSABLE = 422


class Act(ReservationView):
    """A button of the reservation's page; afterwards one is back on it."""

    permission: ClassVar[Permission] = Permission.RESERVE

    def back(self, ref: str) -> HttpResponse:
        return redirect("portal:reservation", ref=ref)


class Release(Act):
    page = "portal/release.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        actions = {action.name: action for action in selectors.actions(reservation=reservation)}
        if not actions["release"].available:
            return self.back(ref)
        return self.show(**self.live_context(reservation))

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        try:
            services.release(actor=self.actor, ref=ref)
        except NotFound:
            raise
        except DomainError as error:
            self.tell(error)
        else:
            self.done(_("Released. The meter has stopped; the nodes are being erased."))
        return self.back(ref)


class Cancel(Act):
    page = "portal/confirm.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        return self.show(
            title=_("Cancel the reservation %(name)s?") % {"name": reservation.name},
            text=_("It has not started, so nothing is charged, and the money held for it is free again."),
            verb=_("Cancel the reservation"),
            back="portal:reservations",
        )

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        try:
            services.cancel(actor=self.actor, ref=ref)
        except NotFound:
            raise
        except DomainError as error:
            self.tell(error)
        else:
            self.done(_("Cancelled. Nothing is charged."))
        return self.back(ref)


class Extend(Act):
    page = "portal/extend.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        form = ExtendForm(initial={"end": FIXED if reservation.ends_at else OPEN, "ends_at": reservation.ends_at})
        return self.show(reservation=reservation, form=form)

    def post(self, request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        form = ExtendForm(request.POST)
        if form.is_valid():
            try:
                services.extend(actor=self.actor, ref=ref, ends_at=form.new_end())
            except NotFound:
                raise
            except DomainError as error:
                form.add_domain_error(error)
            else:
                self.done(_("The end is moved."))
                return self.back(ref)
        return self.show(reservation=reservation, form=form, status=UNPROCESSABLE)


class Power(Act):
    """Power of one node, or of all when none is named. Off, cycle and reboot stop what runs, so they ask first."""

    page = "portal/power.html"

    def get(self, request: HttpRequest, ref: str) -> HttpResponse:
        reservation = self.reservation(ref)
        actions = {action.name: action for action in selectors.actions(reservation=reservation)}
        action = actions.get(request.GET.get("action", ""))
        if action is None or not action.name.startswith(("power_", "reboot")) or not action.available:
            return self.back(ref)
        nodes = [row.node for row in selectors.allocations_of(reservations=[reservation])[reservation.pk]]
        return self.show(reservation=reservation, action=action, nodes=nodes)

    def post(self, request: HttpRequest, ref: str) -> HttpResponse:
        try:
            services.power(
                actor=self.actor,
                ref=ref,
                action=request.POST.get("action", ""),
                node_ref=request.POST.get("node") or None,
            )
        except NotFound:
            raise
        except DomainError as error:
            self.tell(error)
        else:
            self.done(_("Asked for. The node's BMC is being told; the activity log shows the outcome."))
        return self.back(ref)
