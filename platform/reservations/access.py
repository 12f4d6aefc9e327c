"""How a tenant gets into the nodes of a reservation: what portal and API print, made in one place."""

from dataclasses import dataclass

from provisioning import selectors as provisioning
from provisioning.selectors import JobProgress
from provisioning.states import JobKind, JobState
from reservations import selectors
from reservations.models import Allocation, Reservation
from reservations.states import FINAL, ReservationState

SSH_PORT = 22
_POWER_STEP = "power"


@dataclass(frozen=True, kw_only=True)
class NodeAccess:
    """One node as its tenant sees it. ``power`` is ``on``, ``off`` or ``unknown`` while it is being prepared or erased.

    ``address``, ``port``, ``user`` and ``host_keys`` are set once the installed system has reported itself.
    """

    ref: str
    name: str
    state: str
    power: str
    alias: str
    address: str | None
    port: int | None
    user: str | None
    host_keys: tuple[str, ...]

    @property
    def ssh_command(self) -> str | None:
        """For a shell, as printed; the default port is left out."""
        if self.address is None:
            return None
        port = "" if self.port == SSH_PORT else f"-p {self.port} "
        return f"ssh {port}{self.user}@{self.address}"

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Lines for ~/.ssh/known_hosts (sshd(8): a port other than 22 is written in brackets)."""
        host = self.address if self.port == SSH_PORT else f"[{self.address}]:{self.port}"
        return tuple(f"{host} {key}" for key in self.host_keys)

    @property
    def ssh_config(self) -> str | None:
        """A Host block for the client's configuration, under the alias ``<reservation>-<n>``."""
        if self.address is None:
            return None
        lines = [f"Host {self.alias}", f"  HostName {self.address}", f"  Port {self.port}", f"  User {self.user}"]
        return "\n".join([*lines, "  StrictHostKeyChecking yes", ""])


def nodes_of(*, reservation: Reservation, jobs: list[JobProgress] | None = None) -> list[NodeAccess]:
    """The nodes of one reservation, by name; addresses and power only while they are the tenant's.

    ``jobs`` is ``provisioning.selectors.progress_of`` of it, where the caller has that already. One query while the
    reservation is not active, else two and ``jobs``'.
    """
    rows = selectors.allocations_of(reservations=[reservation])[reservation.pk]
    nodes = [row.node for row in rows]
    is_active = reservation.state == ReservationState.ACTIVE
    facts = provisioning.connection_facts_of(nodes=nodes) if is_active and nodes else {}
    if jobs is None:
        jobs = provisioning.progress_of(reservation_ref=reservation.ref) if is_active else []
    power = _power_of(jobs)
    found = []
    for number, row in enumerate(rows, start=1):
        node, fact = row.node, facts.get(row.node_id)
        found.append(
            NodeAccess(
                ref=node.ref,
                name=node.name,
                state=_state_of(row, reservation),
                power=power.get(node.ref, "unknown") if is_active else "unknown",
                alias=f"{reservation.name}-{number}",
                address=fact.address if fact else None,
                port=fact.port if fact else None,
                user=fact.user if fact else None,
                host_keys=fact.host_keys if fact else (),
            )
        )
    return found


def _state_of(row: Allocation, reservation: Reservation) -> str:
    """The node's state while it serves this reservation; before and after, it is somebody else's business."""
    if row.cleaned_at is not None or reservation.state in FINAL:
        return "released"
    serves = reservation.state in {ReservationState.DEPLOYING, ReservationState.ACTIVE, ReservationState.ENDING}
    return row.node.state if serves else "promised"


def _power_of(jobs: list[JobProgress]) -> dict[str, str]:
    """By node ref, from what was done to it last."""
    power: dict[str, str] = {}
    for job in jobs:
        if job.state != JobState.DONE:
            continue
        if job.kind == JobKind.DEPLOY:
            power[job.node_ref] = "on"
        for step in job.steps:
            if step.name == _POWER_STEP and "power" in step.detail:
                power[job.node_ref] = str(step.detail["power"])
    return power
