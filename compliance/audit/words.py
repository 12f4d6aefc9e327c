"""Kinds of events in words for people. Rooms may add their own sentences; an unknown kind is spelled out."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.actors import ActorKind

_PHRASES: dict[str, "str | Promise"] = {
    "reservation.created": gettext_lazy("Reservation made"),
    "reservation.approve": gettext_lazy("Reservation approved"),
    "reservation.start": gettext_lazy("Reservation started: nodes are being deployed"),
    "reservation.activate": gettext_lazy("Nodes handed over; metering began"),
    "reservation.suspend": gettext_lazy("Reservation suspended: the money ran out"),
    "reservation.resume": gettext_lazy("Reservation resumed"),
    "reservation.extend": gettext_lazy("Reservation extended"),
    "reservation.release": gettext_lazy("Release asked for; metering ended"),
    "reservation.end": gettext_lazy("Reservation ended"),
    "reservation.ended": gettext_lazy("All nodes erased and checked; reservation ended"),
    "reservation.fail": gettext_lazy("Reservation failed"),
    "reservation.cancel": gettext_lazy("Reservation cancelled"),
    "node.created": gettext_lazy("Node enrolled"),
    "node.verify": gettext_lazy("Node: intake began"),
    "node.verified": gettext_lazy("Node: BMC answered and accepted its credentials"),
    "node.inspected": gettext_lazy("Node: hardware is what was enrolled"),
    "node.cleaned": gettext_lazy("Node: erased, checked, available again"),
    "node.deploy": gettext_lazy("Node: deployment began"),
    "node.deployed": gettext_lazy("Node: health gate passed; handed over"),
    "node.release": gettext_lazy("Node: taken back; erasing began"),
    "node.enter_rescue": gettext_lazy("Node: booting the rescue system"),
    "node.leave_rescue": gettext_lazy("Node: back from the rescue system"),
    "node.retain": gettext_lazy("Node: powered off, its disks kept"),
    "node.resume": gettext_lazy("Node: resumed"),
    "node.clean": gettext_lazy("Node: cleaning began"),
    "node.maintain": gettext_lazy("Node: taken into maintenance by the operator"),
    "node.quarantine": gettext_lazy("Node: taken out because of a fault"),
    "node.retire": gettext_lazy("Node: left the fleet"),
    "tenant.created": gettext_lazy("Tenant created"),
    "tenant.suspend": gettext_lazy("Tenant suspended by the operator"),
    "tenant.reinstate": gettext_lazy("Suspension lifted by the operator"),
    "tenant.close": gettext_lazy("Tenant closed"),
    "invoice.created": gettext_lazy("Invoice drafted"),
    "invoice.issue": gettext_lazy("Invoice issued"),
    "invoice.pay": gettext_lazy("Invoice paid"),
    "audit.signing_key": gettext_lazy("A new key signs the audit log"),
}


def register(*, phrases: Mapping[str, "str | Promise"]) -> None:
    """Add sentences for kinds of events, ``{"quote.expired": gettext_lazy("Quote expired")}``; the last one counts."""
    _PHRASES.update(phrases)


def what(*, kind: str, details: Mapping[str, Any]) -> str:
    """One sentence for an event; where no sentence is known, its name and the states it led between."""
    phrase = _PHRASES.get(kind)
    if phrase is not None:
        return str(phrase)
    thing, _dot, event = kind.partition(".")
    name = f"{thing.replace('_', ' ').capitalize()}: {event.replace('_', ' ')}" if event else kind
    before, after = details.get("from"), details.get("to")
    if before and after:
        return _("%(name)s (from %(before)s to %(after)s)") % {"name": name, "before": before, "after": after}
    return name


def who(*, actor_kind: str, actor_ref: str) -> str:
    """The actor in words, by opaque id."""
    match actor_kind:
        case ActorKind.USER:
            return _("User %(ref)s") % {"ref": actor_ref}
        case ActorKind.API_KEY:
            return _("API key %(ref)s") % {"ref": actor_ref}
        case ActorKind.STAFF:
            return _("Operator's staff %(ref)s") % {"ref": actor_ref}
        case _:
            return _("Platform (%(ref)s)") % {"ref": actor_ref.removeprefix("system:")}
