"""Filter by what must hold, score what is left, say why.

Policy ``price-then-whole-fabrics/1``: the cheapest offer wins; among equals the one that breaks the fewest whole fabric
domains, because a domain with free neighbours is worth more to the next cluster than scattered nodes are.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from placement.model import Candidate, Choice, Decision, FreeNode, RuledOut, Workload

POLICY = "price-then-whole-fabrics/1"
# What splitting a whole fabric domain is taken to cost, EUR per hour and node left over in it.
SPLIT_EUR_PER_NODE = Decimal("0.01")
RUNNERS_UP = 3


def choose(*, workload: Workload, candidates: Iterable[Candidate]) -> Decision:
    """Rank every candidate for the workload. Pure: the same input gives the same decision, ties broken by name."""
    choices: list[Choice] = []
    ruled_out: list[RuledOut] = []
    for candidate in candidates:
        outcome = _judge(workload, candidate)
        if isinstance(outcome, RuledOut):
            ruled_out.append(outcome)
        else:
            choices.append(outcome)
    choices.sort(key=lambda choice: (choice.score, choice.site, choice.node_type))
    return Decision(
        chosen=choices[0] if choices else None,
        runners_up=tuple(choices[1 : 1 + RUNNERS_UP]),
        ruled_out=tuple(ruled_out),
        policy=POLICY,
    )


def _judge(workload: Workload, candidate: Candidate) -> Choice | RuledOut:
    def out(constraint: str, reason: str) -> RuledOut:
        return RuledOut(site=candidate.site, node_type=candidate.node_type, constraint=constraint, reason=reason)

    if workload.node_type is not None and candidate.node_type != workload.node_type:
        return out("node_type", f"{workload.node_type} was asked for")
    if workload.site is not None and candidate.site != workload.site:
        return out("site", f"{workload.site} was asked for")
    if workload.countries and candidate.country not in workload.countries:
        return out("residency", f"{candidate.country} is not among {', '.join(sorted(workload.countries))}")
    if workload.gpu_memory_gib is not None and candidate.gpu_memory_gib < workload.gpu_memory_gib:
        return out("gpu_memory", f"{candidate.gpu_memory_gib} GiB a node, {workload.gpu_memory_gib} GiB needed")
    price = candidate.eur_per_gpu_hour
    if price is None:
        return out("price", "no price is in force here")
    if workload.max_eur_per_gpu_hour is not None and price > workload.max_eur_per_gpu_hour:
        return out("price", f"{price} EUR per GPU-hour is above the limit of {workload.max_eur_per_gpu_hour}")
    if len(candidate.nodes) < workload.node_count:
        return out("stock", f"{len(candidate.nodes)} free over the whole period, {workload.node_count} needed")
    draw_w = workload.node_count * candidate.node_draw_w
    if candidate.site_free_w is not None and draw_w > candidate.site_free_w:
        return out("site_power", f"{draw_w} W needed, {candidate.site_free_w} W left at the site")
    picked = _pick(workload, candidate)
    if picked is None:
        return out("fabric", f"no fabric domain has {workload.node_count} free nodes within its racks' power")
    nodes, left_over = picked
    hourly = price * candidate.gpu_count * workload.node_count
    return Choice(
        site=candidate.site,
        node_type=candidate.node_type,
        nodes=nodes,
        eur_per_hour=hourly,
        terms={"price": hourly, "fabric_split": SPLIT_EUR_PER_NODE * left_over},
        fabric=nodes[0].fabric,
    )


def _pick(workload: Workload, candidate: Candidate) -> tuple[tuple[FreeNode, ...], int] | None:
    """The nodes to take and how many free ones stay behind in their domain; None when no domain is big enough."""
    domains: dict[str | None, list[FreeNode]] = defaultdict(list)
    one_fabric = workload.one_fabric and workload.node_count > 1
    for node in _within_rack_power(candidate):
        domains[node.fabric if one_fabric or workload.node_count == 1 else None].append(node)
    if one_fabric:
        domains.pop(None, None)
    fitting = [nodes for nodes in domains.values() if len(nodes) >= workload.node_count]
    if not fitting:
        return None
    # Best fit: the domain with the fewest nodes left over; its lowest ids, so that the choice is stable.
    best = min(fitting, key=lambda nodes: (len(nodes), nodes[0].fabric or "", nodes[0].id))
    taken = tuple(sorted(best, key=lambda node: node.id)[: workload.node_count])
    return taken, len(best) - workload.node_count


def _within_rack_power(candidate: Candidate) -> list[FreeNode]:
    left = dict(candidate.rack_free_w)
    kept = []
    for node in sorted(candidate.nodes, key=lambda node: node.id):
        if node.rack in left:
            if left[node.rack] < candidate.node_draw_w:
                continue
            left[node.rack] -= candidate.node_draw_w
        kept.append(node)
    return kept
