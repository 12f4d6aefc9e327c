"""What a step gets and what it may answer.

A step runs outside any transaction. It may be run again at any time, also after a worker died in the middle of it:
so it looks before it acts, and calls ``check()`` (or goes through the guarded BMC and SSH sessions, which do) before
every outside act. It answers ``Done``, or ``Wait`` instead of blocking a thread, or raises a typed error.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from inventory.models import Node
from provisioning import bmc
from provisioning.drivers.base import Driver
from provisioning.errors import BootContested, LeaseLost
from provisioning.leases import Lease
from provisioning.models import BootSession, Job, JobStep
from provisioning.ssh import Login, Ssh

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True, kw_only=True)
class Done:
    """The step's goal is reached. ``apply`` writes what follows from it, in the transaction that records the step."""

    detail: dict[str, Any] = field(default_factory=dict)
    apply: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Not yet: look again in ``seconds``, or (None) when the node reports; the step's deadline stands over both."""

    seconds: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


StepResult = Done | Wait


@dataclass(kw_only=True)
class StepContext:
    """One job in the hands of one worker."""

    job: Job
    node: Node
    lease: Lease
    step: JobStep
    steps: dict[int, JobStep] = field(default_factory=dict)
    logins: dict[str, Ssh] = field(default_factory=dict)

    def check(self) -> None:
        """Raises LeaseLost when the job is no longer ours; called before every outside act."""
        self.lease.check()

    def bmc(self) -> AbstractContextManager[Driver]:
        """The node's BMC, for this worker alone until the block ends; every command checks the lease first."""
        return bmc.session(node=self.node, check=self.check)

    def boot(self, purpose: str) -> BootSession | None:
        """The job's newest boot of that purpose, as it is now."""
        return self.job.boot_sessions.filter(purpose=purpose, revoked_at=None).order_by("-pk").first()

    def note(self, **facts: Any) -> None:
        """Write facts into the step before an act that must not be repeated. Raises LeaseLost."""
        self.step.detail = {**self.step.detail, **facts}
        written = JobStep.objects.filter(
            pk=self.step.pk, job__fencing_token=self.lease.token, job__state="leased"
        ).update(detail=self.step.detail)
        if not written:
            raise LeaseLost

    def since_step_began_s(self) -> float:
        began = self.step.started_at
        return 0.0 if began is None else (timezone.now() - began).total_seconds()

    def rescue(self) -> Ssh:
        """Root in the rescue system of this job's last boot, host key pinned by its report."""
        boot = self.boot(BootSession.Purpose.RESCUE)
        if boot is None:  # plans put the boot before any step that logs in, so it was there
            raise BootContested("somebody else asked for the boot that was armed for this node")
        return self._login(f"rescue {boot.pk}", "root", boot.private_key, boot.host_keys)

    def installed(self) -> Ssh:
        """The image's default user in the installed system, by the one-time deployment key."""
        boot = self.boot(BootSession.Purpose.INSTALLED)
        assert boot is not None  # noqa: S101 - likewise
        assert self.job.image is not None  # noqa: S101 - a deployment has an image
        user = self.job.image.default_user
        return self._login(f"installed {boot.pk}", user, self.job.private_key, boot.host_keys)

    def _login(self, name: str, user: str, key: Callable[[], str], host_keys: list[str]) -> Ssh:
        ssh = self.logins.get(name)
        if ssh is None:
            login = Login(
                address=self.node.tenant_address,
                port=self.node.tenant_ssh_port,
                user=user,
                private_key=key(),
                host_keys=tuple(host_keys),
            )
            ssh = self.logins[name] = Ssh(login=login, check=self.check, timeout_s=settings.CHAPEK_SSH_TIMEOUT_S)
        return ssh

    def close(self) -> None:
        """Hang up every SSH connection of this worker's turn."""
        while self.logins:
            self.logins.popitem()[1].close()


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """One entry of a plan. ``rewind_to`` names the step to go back to when this one is tried again.

    ``usual_s`` is the (low, high) guess of its duration in the field until past runs say better.
    """

    name: str
    label: "StrOrPromise"
    run: Callable[[StepContext], StepResult]
    deadline_s: int
    usual_s: tuple[int, int]
    attempts: int = 3
    rewind_to: str = ""


__all__ = ["Done", "StepContext", "StepResult", "StepSpec", "Wait"]
