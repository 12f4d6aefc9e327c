"""Quote, reserve, look, act: what the API says, checked against what the rooms know."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import Membership
from accounts.roles import Role
from api.serializers.reservations import ACTIONS
from common.clock import database_now
from inventory.models import Node
from inventory.states import NodeState
from provisioning.models import BootSession, Job
from provisioning.states import JobState
from reservations import selectors, services
from reservations.models import Quote, Reservation
from tests.api.caller import problem
from tests.reservations import world


def ask(buyer, **wish):
    return buyer.post("/quotes", {"node_type": "h200-8", **wish})


def reserve(buyer, *, key="k-1", **wish):
    quote = ask(buyer, **wish).json()
    return buyer.post("/reservations", body_for(buyer, quote["id"]), key=key)


def body_for(buyer, quote):
    return {"quote": quote, "name": "training", "image": "debian-12", "ssh_keys": [buyer.ssh_key.ref]}


def activate(ref):
    """What provisioning's news does when every node has passed its health gate."""
    reservation = Reservation.objects.get(ref=ref)
    for node in Node.objects.filter(allocations__reservation=reservation):
        services.node_deployed(reservation_ref=ref, node_id=node.pk, occurred_at=database_now())
        Node.objects.filter(pk=node.pk).update(state=NodeState.ACTIVE)
    Job.objects.filter(reservation_ref=ref).update(state=JobState.DONE, finished_at=database_now())


def pass_time(seconds):
    """Move ``chapek_now()``; only a test database lets itself be moved."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chapek_clock_offset SET seconds = seconds + %s", [seconds])


def test_the_catalogue_is_open_to_everybody(visitor, fleet):
    body = visitor.get("/catalogue").json()
    (line,) = body["stock"]
    assert (line["site"], line["node_type"], line["free_now"], line["total"]) == ("kladno", "h200-8", 3, 3)
    assert line["eur_per_gpu_hour"] == "3.000000"
    (kind,) = body["node_types"]
    assert kind["gpu"] == {"model": "H200", "count": 8, "memory_gib": 141}
    assert [site["country"] for site in body["sites"]] == ["CZ"]
    assert [image["code"] for image in visitor.get("/images").json()["results"]] == ["debian-12"]


def test_a_quote_says_price_tax_cap_end_and_why(buyer):
    answer = ask(buyer, max_spend="500.00", ends_at=(database_now() + timedelta(hours=10)).isoformat())
    assert answer.status_code == 201
    body = answer.json()
    assert answer["Location"] == f"/api/v1/quotes/{body['id']}"
    assert (body["state"], body["site"], body["node_count"], body["max_spend"]) == ("open", "kladno", 1, "500.00")
    assert Decimal(body["estimate"]["hourly_net"]) == 24
    assert Decimal(body["estimate"]["tax_rate"]) == 21
    assert Decimal(body["estimate"]["total_net"]) == pytest.approx(Decimal(240), abs=Decimal("0.02"))
    assert body["decision"]["chosen"]["site"] == "kladno"
    assert "nodes" not in body["decision"]["chosen"]
    assert "erased" in body["at_the_end"]
    assert buyer.get(f"/quotes/{body['id']}").json() == body


def test_a_workload_may_stand_for_the_node_type(buyer):
    body = buyer.post("/quotes", {"workload": {"workload_class": "inference", "gpu_memory_gib": 500}}).json()
    assert body["node_type"] == "h200-8"
    refused = buyer.post("/quotes", {"workload": {"gpu_memory_gib": 5000}})
    assert problem(refused, 409, "no-capacity")["facts"]["ruled_out"]
    abroad = buyer.post("/quotes", {"node_type": "h200-8", "workload": {"countries": ["HU"]}})
    problem(abroad, 409, "no-capacity")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"node_count": 0}, "node_count"),
        ({"node_type": "nothing"}, "node_type"),
        ({"site": "atlantis"}, "site"),
        ({"max_spend": "-1"}, "max_spend"),
        ({"starts_at": "yesterday"}, "starts_at"),
        ({"starts_at": "2020-01-01T00:00:00Z"}, "starts_at"),
        ({"workload": {"countries": ["Czechia"]}}, "workload.countries.0"),
        ({"project": "prj_of_somebody"}, "project"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_beside_its_field(buyer, wish, field):
    answer = ask(buyer, **wish)
    assert answer.status_code == 400
    assert [item["field"] for item in answer.json()["errors"]] == [field]
    assert not Quote.objects.exists()


def test_reserving_makes_one_reservation_however_often_it_is_sent(buyer):
    quote = ask(buyer).json()["id"]
    first, again = (buyer.post("/reservations", body_for(buyer, quote), key="k-1") for _twice in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first["Location"] == again["Location"] == f"/api/v1/reservations/{first.json()['id']}"
    assert Reservation.objects.count() == Job.objects.count() == 1
    problem(buyer.post("/reservations", body_for(buyer, quote), key="k-2"), 409, "quote-unusable")


def test_a_reservation_shows_state_price_cost_nodes_and_actions(buyer):
    body = reserve(buyer).json()
    assert (body["state"], body["name"], body["image"], body["created_by"]) == (
        "deploying",
        "training",
        "debian-12",
        buyer.key.ref,
    )
    assert Decimal(body["price"]["per_gpu_hour"]) == 3
    assert Decimal(body["cost"]["net"]) == 0
    (node,) = body["nodes"]
    assert (node["power"], node["address"]) == ("unknown", None)
    actions = {action["name"]: action for action in body["actions"]}
    assert sorted(actions) == sorted(ACTIONS)
    assert actions["release"]["available"]
    assert not actions["cancel"]["available"]
    assert actions["cancel"]["reason"]


def test_lists_are_newest_first_and_can_be_narrowed_to_states(buyer):
    first = reserve(buyer, key="k-1").json()["id"]
    second = reserve(buyer, key="k-2").json()["id"]
    activate(first)
    assert [row["id"] for row in buyer.get("/reservations").json()["results"]] == [second, first]
    narrowed = buyer.get("/reservations?state=active&state=ended").json()["results"]
    assert [row["id"] for row in narrowed] == [first]
    problem(buyer.get("/reservations?state=dreaming"), 400, "invalid-request")


def test_the_way_in_is_told_once_the_node_is_the_tenants(buyer):
    ref = reserve(buyer).json()["id"]
    assert buyer.get(f"/reservations/{ref}/connect").json()["nodes"][0]["ssh_command"] is None
    activate(ref)
    node = Node.objects.get(allocations__reservation__ref=ref)
    job = Job.objects.get()
    BootSession.objects.create(
        node=node, job=job, purpose=BootSession.Purpose.INSTALLED, reported_at=database_now(), mac=node.boot_mac,
        expires_at=database_now() + timedelta(hours=1), host_keys=["ssh-ed25519 AAAAhost"],
    )  # fmt: skip
    body = buyer.get(f"/reservations/{ref}/connect").json()
    (shown,) = body["nodes"]
    assert shown["ssh_command"] == f"ssh debian@{node.tenant_address}"
    assert shown["known_hosts"] == [f"{node.tenant_address} ssh-ed25519 AAAAhost"]
    assert body["known_hosts"] == f"{node.tenant_address} ssh-ed25519 AAAAhost\n"
    assert body["ssh_config"].startswith(
        f"Host training-1\n  HostName {node.tenant_address}\n  Port 22\n  User debian\n"
    )
    Node.objects.filter(pk=node.pk).update(tenant_ssh_port=2201)
    (shown,) = buyer.get(f"/reservations/{ref}/connect").json()["nodes"]
    assert shown["ssh_command"] == f"ssh -p 2201 debian@{node.tenant_address}"
    assert shown["known_hosts"] == [f"[{node.tenant_address}]:2201 ssh-ed25519 AAAAhost"]
    services.release(actor=buyer.actor, ref=ref)
    assert buyer.get(f"/reservations/{ref}/connect").json()["nodes"][0]["address"] is None


def act(buyer, ref, key, **body):
    return buyer.post(f"/reservations/{ref}/actions", body, key=key)


def test_actions_are_done_once_per_key_and_refused_when_they_do_not_fit(buyer):
    ref = reserve(buyer).json()["id"]
    problem(act(buyer, ref, "a-1", action="power_off"), 409, "conflict")
    activate(ref)
    before = Job.objects.count()
    for _twice in range(2):
        assert act(buyer, ref, "a-2", action="power_off").status_code == 200
    assert Job.objects.count() == before + 1
    ends_at = (database_now() + timedelta(hours=2)).replace(microsecond=0)
    moved = act(buyer, ref, "a-3", action="extend", ends_at=ends_at.isoformat())
    assert moved.json()["ends_at"] == ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert act(buyer, ref, "a-4", action="extend", ends_at=None).json()["ends_at"] is None
    problem(act(buyer, ref, "a-5", action="extend"), 400, "invalid-request")
    problem(act(buyer, ref, "a-6", action="explode"), 400, "invalid-request")
    assert act(buyer, ref, "a-7", action="release").json()["state"] == "ending"
    problem(act(buyer, ref, "a-8", action="release"), 409, "illegal-transition")


def test_a_scheduled_reservation_can_be_cancelled(buyer):
    starts_at = (database_now() + timedelta(days=1)).isoformat()
    body = reserve(buyer, starts_at=starts_at).json()
    assert body["state"] == "scheduled"
    assert body["nodes"][0]["state"] == "promised"
    assert act(buyer, body["id"], "a-1", action="cancel").json()["state"] == "cancelled"


def test_power_can_be_asked_of_one_node_of_the_reservation_only(buyer):
    ref = reserve(buyer, node_count=2).json()["id"]
    activate(ref)
    nodes = [node["id"] for node in buyer.get(f"/reservations/{ref}").json()["nodes"]]
    before = Job.objects.count()
    assert act(buyer, ref, "a-1", action="reboot", node=nodes[0]).status_code == 200
    assert Job.objects.count() == before + 1
    other = Node.objects.exclude(ref__in=nodes).get()
    problem(act(buyer, ref, "a-2", action="reboot", node=other.ref), 404, "not-found")


def test_progress_events_and_evidence_of_one_reservation(buyer):
    ref = reserve(buyer).json()["id"]
    progress = buyer.get(f"/reservations/{ref}/progress").json()
    assert (progress["state"], progress["is_final"]) == ("deploying", False)
    (job,) = progress["jobs"]
    assert (job["kind"], job["steps"][0]["state"]) == ("deploy", "pending")
    kinds = [event["kind"] for event in buyer.get(f"/reservations/{ref}/events?limit=200").json()["results"]]
    assert kinds.count("reservation.created") == 1
    assert kinds.count("quote.use") == 1
    assert buyer.get(f"/reservations/{ref}/certificates").json() == {"erase": [], "health": []}


def test_cost_is_hidden_from_those_who_may_not_see_it(buyer):
    ref = reserve(buyer).json()["id"]
    Membership.objects.filter(user=buyer.user).update(role=Role.OVERSEER)
    assert buyer.get(f"/reservations/{ref}").json()["cost"] is None
    assert buyer.get("/reservations").json()["results"][0]["cost"] is None
    assert buyer.get("/account").json()["balance"] is None
    problem(buyer.get("/invoices"), 403, "forbidden")


def test_the_account_tells_money_and_limits(buyer):
    body = buyer.get("/account").json()
    assert body["balance"]["available"] == "10000.00"
    assert (body["limits"]["nodes"], body["limits"]["nodes_held"]) == (50, 0)
    reserve(buyer)
    body = buyer.get("/account").json()
    assert body["limits"]["nodes_held"] == 1
    assert Decimal(body["balance"]["held"]) == Decimal("29.04")


def test_invoice_and_usage_follow_the_release(buyer):
    ref = reserve(buyer).json()["id"]
    activate(ref)
    pass_time(600)
    act(buyer, ref, "a-1", action="release")
    (interval,) = buyer.get(f"/usage?reservation={ref}").json()["results"]
    reservation = Reservation.objects.get(ref=ref)
    assert interval["seconds"] == int((reservation.released_at - reservation.active_at).total_seconds())
    assert interval["state"] == "closed"
    (row,) = buyer.get("/invoices").json()["results"]
    assert (row["state"], row["reservation"], row["number"]) == ("draft", ref, None)
    invoice = buyer.get(f"/invoices/{row['id']}").json()
    assert [line["seconds"] for line in invoice["lines"]] == [interval["seconds"]]
    assert Decimal(invoice["gross"]) == Decimal(invoice["net"]) + Decimal(invoice["tax"])
    assert buyer.get("/usage?from_at=2999-01-01T00:00:00Z").json()["results"] == []
    problem(buyer.get("/usage?from_at=yesterday"), 400, "invalid-request")
    problem(buyer.get("/usage?from_at=2026-01-01T00:00:00"), 400, "invalid-request")


def test_user_data_never_comes_back(buyer):
    quote = ask(buyer).json()["id"]
    body = {**body_for(buyer, quote), "user_data": "#cloud-config\n# s3cr3t-token-77\n"}
    made = buyer.post("/reservations", body, key="k-1")
    assert made.status_code == 201
    assert "s3cr3t" not in made.content.decode()
    assert "s3cr3t" not in buyer.get(f"/reservations/{made.json()['id']}").content.decode()
    assert selectors.reservation(actor=buyer.actor, ref=made.json()["id"]).user_data().endswith("s3cr3t-token-77\n")


def test_user_data_may_have_64_kib_and_no_more(buyer):
    quote = ask(buyer).json()["id"]
    # The longest way to write it: each character escaped in JSON.
    fits = {**body_for(buyer, quote), "user_data": "\u00e9" * (32 * 1024)}
    over = {**fits, "user_data": fits["user_data"] + "x"}
    problem(buyer.post("/reservations", over, key="k-1"), 400, "invalid-request")
    assert buyer.post("/reservations", fits, key="k-2").status_code == 201


def test_ssh_keys_of_another_tenant_are_not_found(buyer):
    _actor, foreign = world.make_buyer()
    quote = ask(buyer).json()["id"]
    body = {**body_for(buyer, quote), "ssh_keys": [foreign.ref]}
    assert buyer.post("/reservations", body, key="k-1").status_code in {400, 404}
    assert not Reservation.objects.exists()
