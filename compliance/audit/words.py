"""Kinds of events in words for people. Rooms may add their own sentences; an unknown kind is spelled out."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.actors import ActorKind

_PHRASES: dict[str, "str | Promise"] = {
    "quote.created": gettext_lazy("Quote given"),
    "quote.use": gettext_lazy("Quote used for a reservation"),
    "quote.expire": gettext_lazy("Quote expired"),
    "quote.withdraw": gettext_lazy("Quote withdrawn"),
    "reservation.created": gettext_lazy("Reservation made"),
    "reservation.approve": gettext_lazy("Reservation approved"),
    "reservation.start": gettext_lazy("Reservation started: its nodes are being prepared"),
    "reservation.activate": gettext_lazy("Nodes handed over; metering began"),
    "reservation.fail": gettext_lazy("Reservation failed: a node could not be deployed"),
    "reservation.cancel": gettext_lazy("Reservation cancelled before its start"),
    "reservation.release": gettext_lazy("Released; metering ended"),
    "reservation.expire": gettext_lazy("End time reached; metering ended"),
    "reservation.exhaust": gettext_lazy("Cap or money used up; metering ended"),
    "reservation.end_moved": gettext_lazy("End time moved"),
    "reservation.cleaned": gettext_lazy("Every node erased and checked; reservation ended"),
    "job.created": gettext_lazy("Work on a node asked for"),
    "job.finish": gettext_lazy("Work on a node finished"),
    "job.fail": gettext_lazy("Work on a node failed"),
    "job.cancel": gettext_lazy("Work on a node given up"),
    "job.retry": gettext_lazy("Work on a node tried again"),
    "job.retry_requested": gettext_lazy("The operator asked to try work on a node again"),
    "node.created": gettext_lazy("Node enrolled"),
    "node.intake_requested": gettext_lazy("The operator asked for a node's intake"),
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
    "node.cordoned": gettext_lazy("Node: kept from new reservations by the operator"),
    "node.uncordoned": gettext_lazy("Node: open for new reservations again"),
    "boot.contested": gettext_lazy("A boot was asked for twice and given up"),
    "boot.token_refused": gettext_lazy("A boot token was refused"),
    "tenant.created": gettext_lazy("Tenant created"),
    "tenant.document_accepted": gettext_lazy("Document accepted"),
    "tenant.facts_changed": gettext_lazy("Buyer's facts changed"),
    "tenant.screened": gettext_lazy("Tenant screened by the operator"),
    "tenant.suspend": gettext_lazy("Tenant suspended by the operator"),
    "tenant.reinstate": gettext_lazy("Suspension lifted by the operator"),
    "tenant.close": gettext_lazy("Tenant closed"),
    "tenant.vat_id_verified": gettext_lazy("VAT id verified by the operator"),
    "tenant.vat_id_not_verified": gettext_lazy("VAT id marked as not verified by the operator"),
    "tenant.limit_changed": gettext_lazy("Limit of nodes changed by the operator"),
    "price.added": gettext_lazy("Price added to the price book"),
    "price.ended": gettext_lazy("Price ended"),
    "price.end_requested": gettext_lazy("The operator asked to end a price"),
    "usage.created": gettext_lazy("Metering of a node began"),
    "usage.close": gettext_lazy("Metering of a node ended"),
    "invoice.created": gettext_lazy("Invoice drafted"),
    "invoice.issue_requested": gettext_lazy("The operator asked to issue an invoice"),
    "invoice.issue": gettext_lazy("Invoice issued"),
    "invoice.pay": gettext_lazy("Invoice paid"),
    "invoice.miss": gettext_lazy("Invoice overdue"),
    "invoice.credit": gettext_lazy("Invoice taken back by a credit note"),
    "card.created": gettext_lazy("Card set-up began"),
    "card.confirm": gettext_lazy("Card on file"),
    "card.lapse": gettext_lazy("Card set-up ran out"),
    "card.remove": gettext_lazy("Card taken off file"),
    "charge.created": gettext_lazy("Charge to the card asked for"),
    "charge.succeed": gettext_lazy("Card charged"),
    "charge.decline": gettext_lazy("Charge declined by the bank"),
    "charge.require_action": gettext_lazy("The bank wants the card's owner to confirm"),
    "charge.give_up": gettext_lazy("Charge given up: nothing was taken"),
    "credit.granted": gettext_lazy("Credit granted"),
    "credit_line.opened": gettext_lazy("Credit line opened"),
    "credit_line.closed": gettext_lazy("Credit line closed"),
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
