"""What can go wrong in the audit log, and whose turn it is then."""

from common.errors import Conflict, Fault, InvalidRequest, PlatformFault


class EventNotRecordable(PlatformFault):
    """The event cannot be written down as it is: a programming error of the caller, whose change is rolled back."""

    code = "audit-event-not-recordable"
    status = 500
    retryable = False


class EventTooLarge(EventNotRecordable):
    """The event's canonical form exceeds the 64 KiB that a tile log takes as one entry."""

    code = "audit-event-too-large"


class NothingSealed(Conflict):
    """The log has no signed checkpoint yet; the sequencer makes one every two seconds."""

    code = "audit-nothing-sealed"
    hint = "try again in a few seconds"
    retryable = True


class UnknownTreeSize(InvalidRequest):
    """A proof was asked from a size that this log does not have."""

    code = "audit-unknown-tree-size"


class SigningKeyUnusable(PlatformFault):
    """The signing key file is missing, unreadable, or not the key that signed this installation's logs so far."""

    code = "audit-signing-key"
    fault = Fault.OPERATOR
    retryable = False
    hint = "restore the file named by CHAPEK_SIGNING_KEY_FILE from your backup"


class LogInconsistent(PlatformFault):
    """Stored hashes contradict each other: nothing is signed until an operator has looked."""

    code = "audit-log-inconsistent"
    fault = Fault.OPERATOR
    retryable = False
    hint = "keep a copy of the database and compare it with a backup before anything else"


class SequencerBusy(Conflict):
    """Another sequencer held its lock too long; what is logged stays logged and is sealed by that one or the next."""

    code = "audit-sequencer-busy"
    hint = "try again in a few seconds"
    retryable = True
