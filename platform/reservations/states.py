"""The lives of a quote and of a reservation (DESIGN section 9)."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from common.state_machine import Machine


class QuoteState(TextChoices):
    OPEN = "open", _("Open: its price is promised until it expires")
    USED = "used", _("Used: it became a reservation")
    EXPIRED = "expired", _("Expired")
    WITHDRAWN = "withdrawn", _("Withdrawn by the tenant")


class QuoteEvent(TextChoices):
    USE = "use", _("The tenant reserves on it")
    EXPIRE = "expire", _("Its time is over")
    WITHDRAW = "withdraw", _("The tenant withdraws it")


QUOTE = Machine(
    name="quote",
    states=QuoteState,
    events=QuoteEvent,
    table={
        (QuoteState.OPEN, QuoteEvent.USE): QuoteState.USED,
        (QuoteState.OPEN, QuoteEvent.EXPIRE): QuoteState.EXPIRED,
        (QuoteState.OPEN, QuoteEvent.WITHDRAW): QuoteState.WITHDRAWN,
    },
)


class ReservationState(TextChoices):
    PENDING_APPROVAL = "pending_approval", _("Waiting for an approval")
    SCHEDULED = "scheduled", _("Promised; starts at its time")
    DEPLOYING = "deploying", _("Its nodes are being prepared")
    ACTIVE = "active", _("Running and metered")
    SUSPENDED = "suspended", _("Out of money; its nodes are powered off and its disks kept")
    ENDING = "ending", _("Over; its nodes are being erased")
    ENDED = "ended", _("Over; every node erased, with its certificate")
    FAILED = "failed", _("Could not be deployed; nothing was charged")
    CANCELLED = "cancelled", _("Cancelled before it started")


class ReservationEvent(TextChoices):
    APPROVE = "approve", _("Approved")
    START = "start", _("Its time has come")
    ACTIVATE = "activate", _("Every node passed the health gate")
    FAIL = "fail", _("A node could not be deployed")
    CANCEL = "cancel", _("Cancelled before its start")
    RELEASE = "release", _("The tenant releases it")
    EXPIRE = "expire", _("Its end time has come")
    EXHAUST = "exhaust", _("Its cap or the tenant's money is used up")
    CLEANED = "cleaned", _("The last node is erased")


_S, _E = ReservationState, ReservationEvent
RESERVATION = Machine(
    name="reservation",
    states=ReservationState,
    events=ReservationEvent,
    table={
        (_S.PENDING_APPROVAL, _E.APPROVE): _S.SCHEDULED,
        (_S.PENDING_APPROVAL, _E.CANCEL): _S.CANCELLED,
        (_S.SCHEDULED, _E.START): _S.DEPLOYING,
        (_S.SCHEDULED, _E.CANCEL): _S.CANCELLED,
        (_S.SCHEDULED, _E.FAIL): _S.FAILED,
        (_S.DEPLOYING, _E.ACTIVATE): _S.ACTIVE,
        (_S.DEPLOYING, _E.FAIL): _S.FAILED,
        (_S.DEPLOYING, _E.RELEASE): _S.ENDING,
        (_S.DEPLOYING, _E.EXPIRE): _S.ENDING,
        (_S.ACTIVE, _E.RELEASE): _S.ENDING,
        (_S.ACTIVE, _E.EXPIRE): _S.ENDING,
        (_S.ACTIVE, _E.EXHAUST): _S.ENDING,
        (_S.SUSPENDED, _E.RELEASE): _S.ENDING,
        (_S.SUSPENDED, _E.EXPIRE): _S.ENDING,
        (_S.ENDING, _E.CLEANED): _S.ENDED,
    },
)
LIVE = frozenset({_S.PENDING_APPROVAL, _S.SCHEDULED, _S.DEPLOYING, _S.ACTIVE, _S.SUSPENDED})
FINAL = frozenset({_S.ENDED, _S.FAILED, _S.CANCELLED})
