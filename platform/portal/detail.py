"""One reservation's hardware as its page shows it: nodes, how to connect, certificates."""

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _

from common.periods import Period
from provisioning import selectors as provisioning
from provisioning.models import HealthRecord
from provisioning.selectors import ConnectionFacts
from reservations import selectors
from reservations.models import Allocation, Reservation
from reservations.states import ReservationState

# States in which the nodes are the tenant's: their own state and address mean something to it.
HELD = frozenset(
    {ReservationState.DEPLOYING, ReservationState.ACTIVE, ReservationState.SUSPENDED, ReservationState.ENDING}
)


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """``state`` and ``address`` are empty once the node is somebody else's again."""

    name: str
    ref: str
    state: str
    address: str
    deployed_at: datetime | None
    cleaned_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What to paste into a shell to reach one node; ``number`` tells the blocks of a page apart."""

    node: str
    number: int
    known_hosts_line: str
    ssh_command: str

    @property
    def ssh_id(self) -> str:
        return f"ssh-{self.number}"

    @property
    def hosts_id(self) -> str:
        return f"known-hosts-{self.number}"

    @property
    def known_hosts_command(self) -> str:
        return f"echo '{self.known_hosts_line}' >> ~/.ssh/known_hosts"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    what: str
    ref: str
    node: str
    result: str
    how: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The nodes of a reservation and how to reach those that are up."""

    nodes: list[NodeRow] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)


def hardware(*, reservation: Reservation) -> Hardware:
    """Nodes and connections in two queries. A node that is no longer held shows nothing of its present life."""
    allocations = selectors.allocations_of(reservations=[reservation])[reservation.pk]
    held = [row for row in allocations if is_held(row, reservation=reservation)]
    facts: dict[int, ConnectionFacts] = {}
    if held and reservation.state == ReservationState.ACTIVE:
        facts = provisioning.connection_facts_of(nodes=[row.node for row in held])
    rows = [
        NodeRow(
            name=row.node.name,
            ref=row.node.ref,
            state=row.node.state if row in held else "",
            address=_address(row) if row in held else "",
            deployed_at=row.deployed_at,
            cleaned_at=row.cleaned_at,
        )
        for row in allocations
    ]
    return Hardware(
        nodes=rows,
        connections=[
            _connection(row, facts[row.node_id], number=number)
            for number, row in enumerate(held, start=1)
            if row.node_id in facts
        ],
    )


def is_held(row: Allocation, *, reservation: Reservation) -> bool:
    """Whether the node is in this tenant's hands now, up to the end of its final erase."""
    return reservation.state in HELD and row.is_live and row.cleaned_at is None


def _address(row: Allocation) -> str:
    node = row.node
    return node.tenant_address if node.tenant_ssh_port == 22 else f"{node.tenant_address}:{node.tenant_ssh_port}"


def _connection(row: Allocation, facts: ConnectionFacts, *, number: int) -> Connection:
    standard = facts.port == 22
    host = facts.address if standard else f"[{facts.address}]:{facts.port}"
    port = "" if standard else f" -p {facts.port}"
    key = facts.host_keys[0] if facts.host_keys else ""
    return Connection(
        node=row.node.name,
        number=number,
        known_hosts_line=f"{host} {' '.join(key.split()[:2])}",
        ssh_command=f"ssh -o StrictHostKeyChecking=yes{port} {facts.user}@{facts.address}",
    )


def certificates(*, reservation: Reservation) -> list[Certificate]:
    """Erase and health records of this reservation, newest first; two queries."""
    found = [
        Certificate(
            what=_("Drive %(serial)s erased") % {"serial": record.drive_serial},
            ref=record.ref,
            node=record.node.name,
            result="passed",
            how=_("%(method)s, %(n)d samples read back")
            % {"method": record.get_method_display(), "n": record.samples_checked},
            at=record.finished_at,
        )
        for record in provisioning.erase_records(reservation_ref=reservation.ref)
    ]
    found += [
        Certificate(
            what=_health_title(record),
            ref=record.ref,
            node=record.node.name,
            result="passed" if record.passed else "failed",
            how=_("%(n)d of %(model)s") % {"n": record.gpu_count, "model": record.gpu_model},
            at=record.checked_at,
        )
        for record in provisioning.health_records(reservation_ref=reservation.ref)
    ]
    return sorted(found, key=lambda item: (item.at, item.ref), reverse=True)


def _health_title(record: HealthRecord) -> str:
    return _("Health at hand-over") if record.phase == HealthRecord.Phase.HANDOVER else _("Health after the erase")


def metered_s(*, reservation: Reservation, at: datetime) -> int:
    """Seconds from hand-over to release, or until now."""
    if reservation.active_at is None:
        return 0
    end = reservation.released_at or at
    return Period(start_at=reservation.active_at, end_at=end).seconds or 0 if end > reservation.active_at else 0
