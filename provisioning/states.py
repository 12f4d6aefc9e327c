"""The life of a job, as DESIGN section 9 names it.

What happens *to a node* is audited: a job begins, ends, fails, is cancelled, is tried again. These moves go through
``fire()``. While it lives, a job is passed between ``ready``, ``leased`` and ``waiting``; that is the workers' own
bookkeeping, changes nothing that a tenant could see, and happens several times a minute. ``provisioning.leases`` alone
does it, by updates guarded with the fencing token, and the table SCHEDULING below says which of them exist.
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from common.state_machine import Machine


class JobKind(TextChoices):
    INTAKE = "intake", _("Intake: verify, inspect and clean a new node")
    CLEAN = "clean", _("Clean: erase and check")
    DEPLOY = "deploy", _("Deploy an image for a tenant")
    RELEASE = "release", _("Release: take back, erase and check")
    POWER = "power", _("Power action for the tenant")


class JobState(TextChoices):
    READY = "ready", _("Its turn has come; no worker has it yet")
    LEASED = "leased", _("A worker is at it")
    WAITING = "waiting", _("Waits for a time or for the node to report")
    DONE = "done", _("Finished")
    FAILED = "failed", _("Ended with a typed failure")
    CANCELLED = "cancelled", _("Given up on somebody's word")


class JobEvent(TextChoices):
    FINISH = "finish", _("The last step is done")
    FAIL = "fail", _("A step failed for good")
    CANCEL = "cancel", _("Somebody cancelled it, or a release replaced it")
    RETRY = "retry", _("The operator lets it run again from its first step")


class StepState(TextChoices):
    PENDING = "pending", _("Not begun")
    RUNNING = "running", _("Under way")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


_S, _E = JobState, JobEvent
LIVE = (_S.READY, _S.LEASED, _S.WAITING)
JOB = Machine(
    name="job",
    states=JobState,
    events=JobEvent,
    table={
        (_S.LEASED, _E.FINISH): _S.DONE,
        (_S.READY, _E.FAIL): _S.FAILED,
        (_S.LEASED, _E.FAIL): _S.FAILED,
        (_S.WAITING, _E.FAIL): _S.FAILED,
        (_S.READY, _E.CANCEL): _S.CANCELLED,
        (_S.LEASED, _E.CANCEL): _S.CANCELLED,
        (_S.WAITING, _E.CANCEL): _S.CANCELLED,
        (_S.FAILED, _E.RETRY): _S.READY,
    },
)

# What provisioning.leases may do without an audit event; every one needs the present fencing token or takes a new one.
SCHEDULING = frozenset(
    {
        (_S.READY, _S.LEASED),
        (_S.WAITING, _S.LEASED),
        (_S.LEASED, _S.LEASED),
        (_S.LEASED, _S.WAITING),
        (_S.LEASED, _S.READY),
    }
)
