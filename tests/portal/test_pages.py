"""What the pages show, for how many queries, under which headers."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Membership, User
from accounts.roles import Role
from common.clock import database_now
from reservations.models import Reservation
from tests.portal.conftest import browser_of, hand_over
from tests.reservations import world

MOST_QUERIES = 15
LISTS = ("home", "reservations", "reserve", "keys", "billing", "team", "account", "edit_facts")


def see(client: Client, url: str, *, most: int = MOST_QUERIES, status: int = 200) -> str:
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(url)
    assert answer.status_code == status
    sql = "\n".join(query["sql"][:150] for query in seen.captured_queries)
    assert len(seen) <= most, sql
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    return answer.content.decode()


def plain(page: str) -> str:
    """The words of a page, as one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture
def many(owner) -> list[Reservation]:
    """Thirty reservations, so that a query per row would show."""
    start = database_now() + timedelta(days=1)
    made = []
    for number in range(30):
        day = start + timedelta(days=number)
        made.append(
            world.buy(owner.actor, owner.key, name=f"run-{number}", starts_at=day, ends_at=day + timedelta(hours=3))
        )
    return made


@pytest.mark.usefixtures("many", "active")
def test_a_list_costs_the_same_few_queries_however_long(owner) -> None:
    for name in LISTS:
        see(owner.client, reverse(f"portal:{name}"))


@pytest.mark.parametrize("name", ["reservation", "live", "release", "extend"])
def test_a_reservations_page_costs_few_queries(name, owner, active) -> None:
    see(owner.client, reverse(f"portal:{name}", kwargs={"ref": active.ref}))


def test_the_front_door_shows_stock_and_price_to_anybody(fleet) -> None:
    page = plain(see(Client(), "/", most=5))
    assert "4 / 4 €3.00 €24.00" in page
    assert "1 / 1 €2.00 €16.00" in page
    assert "Sign up" in page


def test_the_stock_is_counted_anew_for_every_look(fleet, owner) -> None:
    world.buy(owner.actor, owner.key)
    assert "3 / 4" in plain(see(Client(), "/stock/", most=4))


@pytest.mark.usefixtures("db")
def test_an_empty_installation_says_so() -> None:
    assert "No nodes are offered yet" in see(Client(), "/")


@pytest.mark.parametrize("kind", ["terms", "acceptable_use", "data_processing"])
@pytest.mark.usefixtures("db")
def test_legal_texts_are_read_without_a_log_in(kind) -> None:
    page = see(Client(), f"/legal/{kind}/")
    assert "Version 1, in force from" in plain(page)
    assert "<h2>" in page or "<ol>" in page


@pytest.mark.usefixtures("db")
def test_an_unknown_legal_text_is_not_found() -> None:
    assert Client().get("/legal/secrets/").status_code == 404


def test_home_says_what_runs_and_what_it_costs(owner, active) -> None:
    page = plain(see(owner.client, "/home/"))
    assert "Nodes held 2 of 50" in page
    assert "Costs per hour, net €48.00" in page
    assert "training" in page


def test_a_long_list_goes_on_by_cursor(owner, many) -> None:
    first = see(owner.client, "/reservations/")
    assert "run-29" in first
    assert ">run-4<" not in first
    older = re.search(r'href="(\?before=res_[a-z0-9]+)"', first)
    assert older is not None
    second = see(owner.client, f"/reservations/{older[1]}")
    assert ">run-4<" in second
    assert ">run-29<" not in second
    assert "Newest" in second


def test_the_filter_by_state_leaves_the_others_out(owner, many, active) -> None:
    assert "No reservation yet" not in see(owner.client, "/reservations/?state=ended")
    assert "None in this state" in see(owner.client, "/reservations/?state=ended")
    assert "training" in see(owner.client, "/reservations/?state=live&before=")


def test_the_page_of_an_active_reservation_says_how_to_connect(owner, active, settings) -> None:
    from provisioning.models import BootSession

    for row in active.allocations.all():
        BootSession.objects.create(
            node_id=row.node_id,
            job=row.node.jobs.get(reservation_ref=active.ref),
            purpose=BootSession.Purpose.INSTALLED,
            mac=row.node.boot_mac,
            host_keys=["ssh-ed25519 AAAAHOSTKEY root@node"],
            reported_at=database_now(),
            expires_at=database_now() + timedelta(hours=1),
        )
    page = see(owner.client, reverse("portal:reservation", kwargs={"ref": active.ref}))
    node = active.allocations.order_by("node__name").first().node
    assert f"ssh -o StrictHostKeyChecking=yes debian@{node.tenant_address}" in page
    assert f"{node.tenant_address} ssh-ed25519 AAAAHOSTKEY&#x27;" in page
    assert "AAAAHOSTKEY root@node" not in page


def test_a_node_that_was_given_back_shows_nothing_of_its_new_life(owner, active, stranger) -> None:
    """Its state and address belong to whoever holds it now."""
    from django.db import transaction

    from reservations import services

    services.release(actor=owner.actor, ref=active.ref)
    nodes = [row.node for row in active.allocations.select_related("node")]
    for node in nodes:
        with transaction.atomic():
            services.node_cleaned(reservation_ref=active.ref, node_id=node.pk, occurred_at=database_now())
    page = see(owner.client, reverse("portal:reservation", kwargs={"ref": active.ref}))
    assert "given back" in page
    for node in nodes:
        assert node.tenant_address not in page


def test_the_live_part_tells_the_page_when_the_state_is_another_one(owner, deploying) -> None:
    url = reverse("portal:live", kwargs={"ref": deploying.ref})
    assert "HX-Trigger" not in owner.client.get(f"{url}?state=deploying").headers
    hand_over(deploying)
    assert "chapek:changed" in owner.client.get(f"{url}?state=deploying").headers["HX-Trigger"]
    assert "HX-Trigger" not in owner.client.get(f"{url}?state=active").headers


def test_somebody_without_an_organisation_is_asked_for_it_first(fleet) -> None:
    client = browser_of(User.objects.create_user("new@example.test", "a-long-password"))
    assert client.get("/home/")["Location"] == "/organisation/"
    assert client.get("/home/", headers={"HX-Request": "true"})["HX-Redirect"] == "/organisation/"
    assert "Who buys?" in see(client, "/organisation/")


def test_the_operators_staff_are_sent_to_their_desk(fleet) -> None:
    staff = User.objects.create_superuser("staff@example.test", "a-long-password")
    page = see(browser_of(staff), "/home/", status=403)
    assert 'href="/admin/"' in page


def test_a_role_sees_and_does_only_its_own(owner, active) -> None:
    auditor = User.objects.create_user("auditor@example.test", "a-long-password")
    Membership.objects.create(tenant_id=owner.actor.tenant_id, user=auditor, role=Role.OVERSEER)
    client = browser_of(auditor)
    page = see(client, reverse("portal:reservation", kwargs={"ref": active.ref}))
    assert "So far, net" not in page
    assert "/release/" not in page
    assert 'href="/billing/"' not in page
    assert "Your role does not allow this" in see(client, "/billing/", status=403)
    assert client.post(reverse("portal:release", kwargs={"ref": active.ref})).status_code == 403
    active.refresh_from_db()
    assert active.state == "active"


def test_the_style_guide_is_for_staff(owner) -> None:
    assert owner.client.get("/styleguide/").status_code == 404
    staff = User.objects.create_superuser("staff@example.test", "a-long-password")
    assert "Style guide" in see(browser_of(staff), "/styleguide/")


def test_not_found_is_a_page_of_ours(owner) -> None:
    assert "Nothing here" in see(owner.client, "/reservations/res_none/", status=404)
    assert "Nothing here" in see(Client(), "/no/such/page/", status=404)


@pytest.mark.parametrize(("name", "text"), [("500", "it is our fault"), ("400", "cannot be understood")])
def test_a_fault_needs_neither_request_nor_database_for_its_page(name, text) -> None:
    assert text in render_to_string(f"{name}.html")


@pytest.mark.usefixtures("db")
def test_the_colour_switch_keeps_the_choice_and_sends_back_only_to_ourselves(client) -> None:
    answer = client.post("/theme/", {"theme": "dark", "next": "/legal/terms/"})
    assert answer["Location"] == "/legal/terms/"
    assert 'data-theme="dark"' in client.get("/legal/terms/").content.decode()
    assert client.post("/theme/", {"theme": "auto", "next": "https://evil.example/"})["Location"] == "/"
    assert "data-theme=" not in client.get("/legal/terms/").content.decode()
