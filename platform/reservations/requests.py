"""What a tenant asks for, checked once, before any room is bothered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from common.errors import InvalidRequest
from placement.model import Workload, WorkloadClass

SHORTEST = timedelta(minutes=1)
LONGEST_AHEAD = timedelta(days=366)
USER_DATA_LIMIT_BYTES = 64 * 1024
CLOCK_TOLERANCE = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class QuoteRequest:
    """``node_type`` or a workload that says enough to pick one; ``site`` a code or None for the best.

    ``starts_at`` None means now, ``ends_at`` None means until released. ``max_spend`` is a cap in net EUR.
    """

    node_count: int
    node_type: str | None = None
    site: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_spend: Decimal | None = None
    project_ref: str | None = None
    workload_class: str = WorkloadClass.GENERAL
    gpu_memory_gib: int | None = None
    countries: frozenset[str] = field(default_factory=frozenset)

    def check(self, *, now: datetime) -> None:
        """Raises InvalidRequest with the field's name in the context."""
        if self.node_count < 1:
            raise InvalidRequest("ask for at least one node", field="node_count")
        if self.node_type is None and self.gpu_memory_gib is None:
            raise InvalidRequest(
                "name a node type, or a workload with the GPU memory it needs",
                field="node_type",
                hint="GET /api/v1/catalogue lists the node types",
            )
        if self.workload_class not in set(WorkloadClass):
            raise InvalidRequest(f"{self.workload_class} is no workload class", field="workload_class")
        for name in ("starts_at", "ends_at"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise InvalidRequest("times need an offset, for example 2026-12-01T08:00:00Z", field=name)
        start = self.starts_at or now
        if start < now - CLOCK_TOLERANCE:
            raise InvalidRequest("the start lies in the past", field="starts_at", hint="leave it out to start now")
        if start > now + LONGEST_AHEAD:
            raise InvalidRequest("the start is more than a year ahead", field="starts_at")
        if self.ends_at is not None and self.ends_at < start + SHORTEST:
            raise InvalidRequest("the end must be at least a minute after the start", field="ends_at")
        if self.max_spend is not None and self.max_spend <= 0:
            raise InvalidRequest("a cap must be above zero", field="max_spend")

    def workload(self) -> Workload:
        return Workload(
            node_count=self.node_count,
            workload_class=WorkloadClass(self.workload_class),
            node_type=self.node_type,
            site=self.site,
            gpu_memory_gib=self.gpu_memory_gib,
            countries=self.countries,
        )

    def as_record(self) -> dict[str, object]:
        """As stored in the quote."""
        return {
            "node_count": self.node_count,
            "node_type": self.node_type,
            "site": self.site,
            "starts_at": self.starts_at.isoformat() if self.starts_at else None,
            "ends_at": self.ends_at.isoformat() if self.ends_at else None,
            "max_spend": str(self.max_spend) if self.max_spend is not None else None,
            "workload_class": self.workload_class,
            "gpu_memory_gib": self.gpu_memory_gib,
            "countries": sorted(self.countries),
        }


@dataclass(frozen=True, kw_only=True)
class Access:
    """How the tenant gets in: an image by ``code`` (newest version), SSH keys by ref, user data for cloud-init."""

    image_code: str
    ssh_key_refs: tuple[str, ...]
    user_data: str = ""

    def check(self) -> None:
        if not self.ssh_key_refs:
            raise InvalidRequest("choose at least one SSH key; there is no other way in", field="ssh_keys")
        size = len(self.user_data.encode())
        if size > USER_DATA_LIMIT_BYTES:
            raise InvalidRequest(f"user data is {size} bytes; 65536 at most", field="user_data")
        if "\x00" in self.user_data:
            raise InvalidRequest("user data must be text", field="user_data")
