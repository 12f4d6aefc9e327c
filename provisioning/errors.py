"""What can go wrong with a step, by whose turn it is to act. ``retryable`` ones are tried again, with a bound."""

from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from common.errors import Conflict, DomainError, Fault


class LeaseLost(Exception):
    """Another worker has the job, or somebody cancelled it: whoever gets this stops at once and changes nothing."""


class StepFailed(DomainError):
    """A step ended badly; the subclass says whose fault it is and whether trying again can heal it."""

    code = "step-failed"
    status = 500
    fault = Fault.PLATFORM


class StepTimedOut(StepFailed):
    """The step's deadline has passed."""

    code = "step-timed-out"
    status = 504
    fault = Fault.HARDWARE
    retryable = True


class NodeUnreachable(StepFailed):
    """SSH to the node fails or breaks off; a booting or busy node heals by itself."""

    code = "node-unreachable"
    status = 502
    fault = Fault.HARDWARE
    retryable = True


class BootContested(StepFailed):
    """The boot that this job armed was asked for twice: one of the two is not the node, so neither is believed."""

    code = "boot-contested"
    status = 502
    fault = Fault.OPERATOR
    retryable = True
    hint = str(_("let only nodes that boot reach /boot/ (CHAPEK_BOOT_NETWORKS), or use Redfish with UEFI HTTP boot"))


class HostKeyMismatch(StepFailed):
    """The node answers with another host key than it reported: never logged in to, never tried again."""

    code = "host-key-mismatch"
    fault = Fault.OPERATOR
    hint = str(_("somebody else answers on the node's address: check the network"))


class ScriptFailed(StepFailed):
    """A script on the node ended with a status other than 0."""

    code = "script-failed"
    fault = Fault.HARDWARE
    retryable = True


class ImageRejected(StepFailed):
    """The image does not have the checksum it was registered with, or does not fit the drive."""

    code = "image-rejected"
    fault = Fault.OPERATOR
    hint = str(_("register the image again from a trusted copy"))


class HardwareMismatch(StepFailed):
    """The node is not the one that was enrolled."""

    code = "hardware-mismatch"
    fault = Fault.OPERATOR
    hint = str(_("correct the enrolled facts or the machine, then run the intake again"))


class EraseFailed(StepFailed):
    """A drive could not be erased, or its read-back still shows what was on it."""

    code = "erase-failed"
    fault = Fault.HARDWARE
    hint = str(_("the node stays out of sale until a cleaning succeeds or the drive is replaced"))


class HealthGateClosed(StepFailed):
    """The health check found something that bars the node from being handed over."""

    code = "health-gate-closed"
    fault = Fault.HARDWARE


class AccessNotClosed(StepFailed):
    """The one-time deployment key still opens the node."""

    code = "access-not-closed"
    fault = Fault.PLATFORM


class LoginRefused(StepFailed):
    """The installed system does not accept the deployment key: its users or keys were configured away."""

    code = "login-refused"
    fault: ClassVar[Fault] = Fault.TENANT
    retryable = True
    hint = str(_("user data that redefines users or ssh_authorized_keys must keep the image's default user"))


class EvidenceIncomplete(StepFailed):
    """Not every drive has an erase record, or the health record is missing: the node does not become available."""

    code = "evidence-incomplete"
    fault = Fault.PLATFORM


class JobConflict(Conflict):
    """The node's present job or state does not allow this."""

    code = "job-conflict"
