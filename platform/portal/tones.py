"""How each state is shown: a short word, a tone and a mark of its own shape, so that colour is never alone."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Face:
    """``tone`` is a class of the style sheets: good, busy, warn, bad or "" (neutral)."""

    word: str | Promise
    tone: str
    icon: str


GOOD, BUSY, WARN, BAD, NEUTRAL = "good", "busy", "warn", "bad", ""

FACES: dict[str, dict[str, Face]] = {
    "reservation": {
        "pending_approval": Face(_("Waiting for approval"), WARN, "clock"),
        "scheduled": Face(_("Scheduled"), NEUTRAL, "clock"),
        "deploying": Face(_("Deploying"), BUSY, "spin"),
        "active": Face(_("Active"), GOOD, "check"),
        "suspended": Face(_("Suspended"), WARN, "alert"),
        "ending": Face(_("Erasing"), BUSY, "spin"),
        "ended": Face(_("Ended"), NEUTRAL, "square"),
        "failed": Face(_("Failed"), BAD, "cross"),
        "cancelled": Face(_("Cancelled"), NEUTRAL, "ring"),
    },
    "node": {
        "enrolled": Face(_("Enrolled"), NEUTRAL, "ring"),
        "verifying": Face(_("Verifying"), BUSY, "spin"),
        "inspecting": Face(_("Inspecting"), BUSY, "spin"),
        "cleaning": Face(_("Erasing"), BUSY, "spin"),
        "available": Face(_("Clean"), GOOD, "check"),
        "deploying": Face(_("Deploying"), BUSY, "spin"),
        "active": Face(_("Active"), GOOD, "check"),
        "rescue": Face(_("Rescue"), WARN, "alert"),
        "retained": Face(_("Retained"), WARN, "alert"),
        "maintenance": Face(_("Maintenance"), WARN, "gear"),
        "quarantined": Face(_("Quarantined"), BAD, "cross"),
        "retired": Face(_("Retired"), NEUTRAL, "square"),
    },
    "quote": {
        "open": Face(_("Open"), GOOD, "check"),
        "used": Face(_("Used"), NEUTRAL, "square"),
        "expired": Face(_("Expired"), WARN, "clock"),
        "withdrawn": Face(_("Withdrawn"), NEUTRAL, "ring"),
    },
    "invoice": {
        "draft": Face(_("Draft"), NEUTRAL, "ring"),
        "issued": Face(_("Issued"), BUSY, "file"),
        "paid": Face(_("Paid"), GOOD, "check"),
        "overdue": Face(_("Overdue"), BAD, "alert"),
        "credited": Face(_("Credited"), NEUTRAL, "square"),
    },
    "job": {
        "ready": Face(_("Queued"), NEUTRAL, "clock"),
        "leased": Face(_("Running"), BUSY, "spin"),
        "waiting": Face(_("Waiting"), BUSY, "spin"),
        "done": Face(_("Done"), GOOD, "check"),
        "failed": Face(_("Failed"), BAD, "cross"),
        "cancelled": Face(_("Cancelled"), NEUTRAL, "ring"),
    },
    "tenant": {
        "active": Face(_("Active"), GOOD, "check"),
        "suspended": Face(_("Suspended"), BAD, "alert"),
        "closed": Face(_("Closed"), NEUTRAL, "square"),
    },
    "key": {
        "live": Face(_("Live"), GOOD, "check"),
        "expired": Face(_("Expired"), WARN, "clock"),
        "revoked": Face(_("Revoked"), NEUTRAL, "cross"),
    },
    "vat": {
        "none": Face(_("None given"), NEUTRAL, "ring"),
        "unverified": Face(_("Not verified"), WARN, "clock"),
        "verified": Face(_("Verified"), GOOD, "check"),
    },
    "result": {
        "passed": Face(_("Passed"), GOOD, "check"),
        "failed": Face(_("Failed"), BAD, "cross"),
        "unknown": Face(_("Unknown"), WARN, "alert"),
    },
}


def face(kind: str, state: str) -> Face:
    """The face of a state; one that is not known is shown by its own name, neutrally."""
    return FACES.get(kind, {}).get(state) or Face(state.replace("_", " "), NEUTRAL, "ring")
