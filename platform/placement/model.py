"""The words of placement: what is asked for, what could serve it, and what was decided."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class WorkloadClass(StrEnum):
    """What the nodes are for; ``GENERAL`` when the tenant does not say."""

    TRAINING = "training"
    FINE_TUNING = "fine_tuning"
    INFERENCE = "inference"
    PREFILL = "prefill"
    DECODE = "decode"
    BATCH = "batch"
    GENERAL = "general"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A request as placement sees it. Empty sets and None mean "no wish"."""

    node_count: int
    workload_class: WorkloadClass = WorkloadClass.GENERAL
    node_type: str | None = None
    site: str | None = None
    gpu_memory_gib: int | None = None  # needed on one node, all its GPUs together
    countries: frozenset[str] = frozenset()
    max_eur_per_gpu_hour: Decimal | None = None
    one_fabric: bool = True  # a cluster of several nodes wants one InfiniBand or RoCE domain


@dataclass(frozen=True, kw_only=True)
class FreeNode:
    """A node that is free over the whole period. ``rank`` orders equals: lower is handed out first."""

    id: int
    ref: str
    fabric: str | None
    rack: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """All nodes of one type at one site that are free over the whole period, with what one of their GPUs costs."""

    site: str
    country: str
    node_type: str
    gpu_count: int
    gpu_memory_gib: int  # of one node
    eur_per_gpu_hour: Decimal | None
    nodes: tuple[FreeNode, ...]
    rack_free_w: dict[str, int] = field(default_factory=dict)
    site_free_w: int | None = None
    node_draw_w: int = 0


@dataclass(frozen=True, kw_only=True)
class RuledOut:
    """A candidate that cannot serve, and the one constraint that says so."""

    site: str
    node_type: str
    constraint: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to serve the request. ``terms`` are the parts of its score in EUR per hour; less is better."""

    site: str
    node_type: str
    nodes: tuple[FreeNode, ...]
    eur_per_hour: Decimal
    terms: dict[str, Decimal]
    fabric: str | None

    @property
    def score(self) -> Decimal:
        return sum(self.terms.values(), Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was chosen, what came next, and what ruled out each of the rest. ``chosen`` is None when nothing serves."""

    chosen: Choice | None
    runners_up: tuple[Choice, ...]
    ruled_out: tuple[RuledOut, ...]
    policy: str

    def as_record(self) -> dict[str, object]:
        """Plain values for the decision record that people read."""

        def choice(option: Choice) -> dict[str, object]:
            return {
                "site": option.site,
                "node_type": option.node_type,
                "nodes": [node.ref for node in option.nodes],
                "fabric": option.fabric,
                "eur_per_hour": str(option.eur_per_hour),
                "terms": {name: str(value) for name, value in option.terms.items()},
                "score": str(option.score),
            }

        return {
            "policy": self.policy,
            "chosen": choice(self.chosen) if self.chosen else None,
            "runners_up": [choice(option) for option in self.runners_up],
            "ruled_out": [
                {"site": out.site, "node_type": out.node_type, "constraint": out.constraint, "reason": out.reason}
                for out in self.ruled_out
            ],
        }
