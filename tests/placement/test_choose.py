from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from placement.choose import choose
from placement.model import Candidate, FreeNode, Workload


def nodes(*fabrics):
    return tuple(FreeNode(id=i, ref=f"nod_{i}", fabric=fabric, rack="r") for i, fabric in enumerate(fabrics, 1))


def candidate(**facts):
    return Candidate(
        **{
            "site": "kladno", "country": "CZ", "node_type": "h200-8", "gpu_count": 8, "gpu_memory_gib": 1128,
            "eur_per_gpu_hour": Decimal("3.00"), "nodes": nodes("a", "a", "b"), **facts,
        }
    )  # fmt: skip


def test_a_cluster_stays_in_one_fabric_domain():
    decision = choose(workload=Workload(node_count=2), candidates=[candidate(nodes=nodes("a", "b", "b"))])
    assert [node.fabric for node in decision.chosen.nodes] == ["b", "b"]
    refused = choose(workload=Workload(node_count=3), candidates=[candidate(nodes=nodes("a", "b", "b"))])
    assert [out.constraint for out in refused.ruled_out] == ["fabric"]


def test_one_node_is_taken_where_the_fewest_are_left():
    decision = choose(workload=Workload(node_count=1), candidates=[candidate()])
    assert decision.chosen.nodes[0].fabric == "b"


def test_power_of_the_site_and_the_rack_is_a_hard_limit():
    refused = choose(workload=Workload(node_count=2), candidates=[candidate(node_draw_w=10_000, site_free_w=19_999)])
    assert [out.constraint for out in refused.ruled_out] == ["site_power"]
    tight = candidate(node_draw_w=10_000, rack_free_w={"r": 10_000})
    assert len(choose(workload=Workload(node_count=1), candidates=[tight]).chosen.nodes) == 1
    assert choose(workload=Workload(node_count=2), candidates=[tight]).chosen is None


def test_every_candidate_is_chosen_runner_up_or_ruled_out_with_one_reason():
    offers = [
        candidate(site="a"),
        candidate(site="b", eur_per_gpu_hour=Decimal("2.00")),
        candidate(site="c", eur_per_gpu_hour=None),
        candidate(site="d", country="US"),
        candidate(site="e", nodes=()),
    ]
    decision = choose(workload=Workload(node_count=1, countries=frozenset({"CZ"})), candidates=offers)
    assert decision.chosen.site == "b"
    assert [option.site for option in decision.runners_up] == ["a"]
    assert {out.site: out.constraint for out in decision.ruled_out} == {"c": "price", "d": "residency", "e": "stock"}


@given(
    count=st.integers(1, 4),
    offers=st.lists(
        st.builds(
            candidate,
            site=st.sampled_from("abcdef"),
            eur_per_gpu_hour=st.decimals("0.5", "9", places=2),
            nodes=st.lists(st.sampled_from(["x", "y", None]), max_size=6).map(lambda fabrics: nodes(*fabrics)),
            site_free_w=st.one_of(st.none(), st.integers(0, 60_000)),
            node_draw_w=st.just(10_000),
        ),
        max_size=5,
    ),
)
def test_a_choice_always_holds_what_was_asked(count, offers):
    decision = choose(workload=Workload(node_count=count), candidates=offers)
    assert len(decision.ruled_out) + len(decision.runners_up) + bool(decision.chosen) >= min(len(offers), 4)
    for option in [decision.chosen, *decision.runners_up]:
        if option is None:
            continue
        assert len({node.id for node in option.nodes}) == count
        if count > 1:
            assert len({node.fabric for node in option.nodes}) == 1
            assert option.nodes[0].fabric is not None
    if decision.chosen is not None:
        assert all(decision.chosen.score <= other.score for other in decision.runners_up)
