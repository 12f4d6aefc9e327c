"""Every list, detail and add page of the desk opens, within its queries, for whoever may see it."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from tests.operations import everything
from tests.operations.pages import MODELS, READ_ONLY, act_url, acts, label, page_of, url

MOST_QUERIES = 15


def test_lists_details_and_add_pages_open_and_a_list_stays_within_its_queries(superuser, story):
    wrong = []
    for model in MODELS:
        rows = list(model._base_manager.order_by("-pk")[:2])
        assert rows, f"the story leaves no {label(model)}: nothing was looked at"
        with CaptureQueriesContext(connection) as asked:
            answers = [superuser.get(url(model, "changelist"))]
        if len(asked) > MOST_QUERIES:
            wrong.append(f"{label(model)}: {len(asked)} queries")
        answers += [superuser.get(url(model, "change", row.pk)) for row in rows]
        wrong += [f"{label(model)}: {answer.status_code}" for answer in answers if answer.status_code != 200]
        added = superuser.get(url(model, "add")).status_code
        if added != (403 if model in READ_ONLY else 200):
            wrong.append(f"{label(model)}: add page answers {added}")
    assert wrong == []


def test_search_and_every_filter_work(superuser, story):
    for model in MODELS:
        if page_of(model).search_fields:
            assert superuser.get(url(model, "changelist"), {"q": "res_ kladno"}).status_code == 200
        changelist = superuser.get(url(model, "changelist")).context["cl"]
        for spec in changelist.filter_specs:
            for choice in list(spec.choices(changelist))[1:3]:
                target = url(model, "changelist") + choice["query_string"]
                assert superuser.get(target).status_code == 200, target


def test_a_query_nobody_offers_is_no_fault_of_ours(superuser, story):
    """Django sends such a request back to the list."""
    for model in MODELS:
        query = {"q": "%'\"x", "attention": "x", "open": "x", "state__exact": "x", "site__id__exact": "x"}
        assert superuser.get(url(model, "changelist"), query).status_code in {200, 302}, model


def test_lists_ask_no_more_for_more_rows(superuser, story):
    def asked() -> dict[str, int]:
        counts = {}
        for model in MODELS:
            with CaptureQueriesContext(connection) as queries:
                superuser.get(url(model, "changelist"))
            counts[label(model)] = len(queries)
        return counts

    asked()  # content types and the like are remembered from the first look on
    before = asked()
    for _ in range(3):
        everything.tell_the_story()
    assert asked() == before


@pytest.mark.parametrize("name", ["accounts.Tenant", "inventory.Node", "provisioning.Job", "reservations.Reservation"])
def test_a_detail_page_asks_no_more_for_a_longer_story(superuser, story, name):
    model = next(one for one in MODELS if label(one) == name)
    row = model.objects.order_by("pk").first()
    if name == "reservations.Reservation":
        row = story
    if name == "inventory.Node":
        row = story.allocations.get().node

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert superuser.get(url(model, "change", row.pk)).status_code == 200
        return len(queries)

    asked()
    before = asked()
    for _ in range(3):
        everything.evidence(story.allocations.get().node, reservation_ref=story.ref)
    assert asked() == before


def test_the_overview_opens_with_a_bounded_number_of_queries(superuser, story):
    with CaptureQueriesContext(connection) as asked:
        assert superuser.get(reverse("admin:index")).status_code == 200
    assert len(asked) <= 18, [query["sql"][:160] for query in asked]


def test_each_number_of_the_overview_links_to_the_rows_it_counts(superuser, story):
    context = superuser.get(reverse("admin:index")).context
    figures = [*context["wanted"], *context["quiet"], *context["reservations"]]
    assert {figure.label: figure.count for figure in context["wanted"]} == {
        "Jobs failed, last day": 1,
        "Open findings": 1,
        "Drafts to issue": 1,
    }
    linked = [(figure.url, figure.count) for figure in figures]
    for row in context["fleet"]["rows"]:
        linked += [(row["url"], row["total"]), *((cell["url"], cell["count"]) for cell in row["cells"])]
    linked.append((context["held"]["url"], context["held"]["count"]))
    for target, count in linked:
        assert superuser.get(target).context["cl"].result_count == count, target


def test_the_search_of_the_side_bar_finds_what_the_operator_has_in_hand(superuser, story):
    def titles(term: str) -> str:
        return superuser.get(reverse("admin:search"), {"s": term, "extended": "1"}).content.decode()

    assert story.ref in titles(story.ref)
    assert story.allocations.get().node.name in titles("node-")
    assert "never shown" not in titles("never shown").replace('value="never shown"', "")


def test_staff_without_permissions_see_every_page_and_can_change_nothing(viewer, story):
    for model in MODELS:
        row = model._base_manager.order_by("pk").first()
        assert viewer.get(url(model, "changelist")).status_code == 200, model
        page = viewer.get(url(model, "change", row.pk))
        assert page.status_code == 200, model
        assert b'name="_save"' not in page.content, model
        text = page.content.decode()
        offered = [name for one, name in acts() if one is model and act_url(model, name, row.pk) in text]
        assert offered == [], model
        assert viewer.get(url(model, "add")).status_code == 403, model
        assert viewer.post(url(model, "change", row.pk), {}).status_code == 403, model


@pytest.mark.parametrize("who", ["visitor", "tenant"])
def test_nobody_else_gets_in(story, who):
    client = Client()
    if who == "tenant":
        client.force_login(_member(story))
    for model in MODELS:
        for target in (url(model, "changelist"), url(model, "change", 1), url(model, "add")):
            answer = client.get(target)
            assert answer.status_code in {302, 403, 404}, target
            assert answer.status_code != 302 or "/login/" in answer["Location"]


def _member(reservation) -> User:
    return User.objects.get(memberships__tenant=reservation.tenant)


def test_secrets_are_on_no_page(superuser, story):
    node = story.allocations.get().node
    for model in MODELS:
        for row in model._base_manager.order_by("-pk")[:1]:
            text = superuser.get(url(model, "change", row.pk)).content.decode()
            for secret in ("not-a-real-one", "never shown"):
                assert secret not in text, label(model)
            for field in ("password_sealed", "user_data_sealed", "private_key_sealed", "secret_sha256"):
                assert field not in text, label(model)
    assert node.bmc.password() == "not-a-real-one"


def test_the_history_of_a_thing_is_the_audit_log(superuser, story):
    node = story.allocations.get().node
    answer = superuser.get(url(type(node), "history", node.pk))
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/audit/auditevent/?q={node.ref}")
