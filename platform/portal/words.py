"""Placement decisions and refusals in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

CONSTRAINTS: dict[str, str | Promise] = {
    "node_type": gettext_lazy("another node type"),
    "site": gettext_lazy("another site"),
    "residency": gettext_lazy("outside the countries allowed"),
    "gpu_memory": gettext_lazy("too little GPU memory"),
    "price": gettext_lazy("price"),
    "stock": gettext_lazy("not enough free nodes"),
    "site_power": gettext_lazy("not enough power at the site"),
    "fabric": gettext_lazy("no fabric domain is large enough"),
}
# Said of what was not asked for; a list of them explains nothing.
OBVIOUS = frozenset({"node_type", "site"})


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another place that would serve, or one that cannot, and why."""

    site: str
    node_type: str
    eur_per_hour: Decimal | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class DecisionInWords:
    policy: str
    site: str
    node_type: str
    fabric: str
    nodes: tuple[str, ...]
    runners_up: tuple[Alternative, ...]
    ruled_out: tuple[Alternative, ...]
    others_unasked: int


def decision_in_words(record: Mapping[str, Any]) -> DecisionInWords:
    """From the record of a quote or reservation; parts that it lacks are empty."""
    chosen = record.get("chosen") or {}
    ruled_out = list(record.get("ruled_out") or [])
    telling = [item for item in ruled_out if item.get("constraint") not in OBVIOUS]
    return DecisionInWords(
        policy=str(record.get("policy") or ""),
        site=str(chosen.get("site") or ""),
        node_type=str(chosen.get("node_type") or ""),
        fabric=str(chosen.get("fabric") or ""),
        nodes=tuple(chosen.get("nodes") or ()),
        runners_up=tuple(
            Alternative(
                site=str(item["site"]),
                node_type=str(item["node_type"]),
                eur_per_hour=Decimal(str(item["eur_per_hour"])),
                reason="",
            )
            for item in record.get("runners_up") or []
        ),
        ruled_out=tuple(
            Alternative(
                site=str(item["site"]), node_type=str(item["node_type"]), eur_per_hour=None, reason=_reason(item)
            )
            for item in telling
        ),
        others_unasked=len(ruled_out) - len(telling),
    )


def _reason(item: Mapping[str, Any]) -> str:
    word = CONSTRAINTS.get(str(item.get("constraint")), str(item.get("constraint") or ""))
    return _("%(word)s: %(detail)s") % {"word": word, "detail": item.get("reason") or ""}
