"""Every act of the desk: done by a service, logged with the actor, refused in words, closed to who may not."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Tenant
from accounts.states import TenantState
from billing.models import Invoice, Price
from compliance.audit.models import AuditEvent
from inventory.models import Node
from inventory.states import NodeState
from provisioning.models import Job
from provisioning.states import JobKind, JobState
from tests.operations import everything
from tests.operations.pages import act_url, acts, label, rows, url
from tests.reservations import world


def node_in(state: str, **values: Any) -> Node:
    known = Node.objects.first()
    node = world.make_node(site=known.site, node_type=known.node_type, state=state)
    for name, value in values.items():
        setattr(node, name, value)
    node.save()
    return node


def tenant_with(**values: Any) -> Tenant:
    tenant = Tenant.objects.latest("pk")
    for name, value in values.items():
        setattr(tenant, name, value)
    tenant.save()
    return tenant


def failed_cleaning() -> Job:
    return everything.job_of(node_in(NodeState.QUARANTINED), kind=JobKind.CLEAN, state=JobState.FAILED)


def live_cleaning() -> Job:
    return everything.job_of(node_in(NodeState.CLEANING), kind=JobKind.CLEAN)


VAT = Tenant.VatIdState
# What the act is done on, what else its dialog asks, and what must be so afterwards.
SCENES: dict[str, tuple[Any, dict[str, str], Any]] = {
    "inventory.Node take_in": (lambda: node_in("enrolled"), {}, lambda node: node.state == "verifying"),
    "inventory.Node clean": (lambda: node_in("quarantined"), {}, lambda node: node.state == "cleaning"),
    "inventory.Node cordon": (lambda: node_in("available"), {}, lambda node: node.is_cordoned),
    "inventory.Node uncordon": (
        lambda: node_in("available", is_cordoned=True), {}, lambda node: not node.is_cordoned,
    ),
    "inventory.Node maintain": (lambda: node_in("available"), {}, lambda node: node.state == "maintenance"),
    "inventory.Node quarantine": (lambda: node_in("available"), {}, lambda node: node.state == "quarantined"),
    "inventory.Node retire": (lambda: node_in("maintenance"), {}, lambda node: node.state == "retired"),
    "provisioning.Job retry": (failed_cleaning, {}, lambda job: job.state == "ready"),
    "provisioning.Job cancel": (live_cleaning, {}, lambda job: job.state == "cancelled"),
    "accounts.Tenant suspend": (tenant_with, {}, lambda tenant: tenant.state == "suspended"),
    "accounts.Tenant reinstate": (
        lambda: tenant_with(state=TenantState.SUSPENDED), {}, lambda tenant: tenant.state == "active",
    ),
    "accounts.Tenant screen": (tenant_with, {}, lambda tenant: tenant.screening_note == "because of a test"),
    "accounts.Tenant verify_vat_id": (
        lambda: tenant_with(vat_id="CZ12345678", vat_id_state=VAT.UNVERIFIED), {},
        lambda tenant: tenant.vat_id_state == "verified",
    ),
    "accounts.Tenant doubt_vat_id": (
        lambda: tenant_with(vat_id="CZ12345678", vat_id_state=VAT.VERIFIED), {},
        lambda tenant: tenant.vat_id_state == "unverified",
    ),
    "accounts.Tenant set_limit": (tenant_with, {"max_nodes": "75"}, lambda tenant: tenant.max_nodes == 75),
    "accounts.Tenant grant_credit": (tenant_with, {"amount": "12.50"}, None),
    "billing.Invoice issue": (everything.draft, {}, lambda invoice: bool(invoice.number)),
    "billing.Price end_now": (everything.later_price, {}, lambda price: price.valid_until_at is not None),
}  # fmt: skip
ACTS = {f"{label(model)} {name}": (model, name) for model, name in acts()}
each_act = pytest.mark.parametrize("act", sorted(ACTS))


def test_every_act_has_its_scene() -> None:
    assert sorted(ACTS) == sorted(SCENES)


@each_act
def test_an_act_needs_a_reason_is_done_and_leaves_an_event_that_names_who_did_it(superuser, viewer, story, act):
    model, name = ACTS[act]
    make, asked, expected = SCENES[act]
    row = make()
    target = act_url(model, name, row.pk)
    stored, events = rows(model), AuditEvent.objects.count()

    # Not for those who may only look.
    assert viewer.get(target).status_code == 403
    assert viewer.post(target, {"reason": "because", "_form_submitted": "on", **asked}).status_code == 403
    # Not without a reason.
    assert superuser.get(target).status_code == 200
    unreasoned = superuser.post(target, {"reason": " ", "_form_submitted": "on", **asked})
    assert unreasoned.status_code == 200
    assert b"This field is required" in unreasoned.content
    assert (rows(model), AuditEvent.objects.count()) == (stored, events)

    # The button is there, and the dialog does it.
    path = target.rstrip("/")
    assert path in superuser.get(url(model, "change", row.pk)).content.decode()
    answer = superuser.post(target, {"reason": "because of a test", "_form_submitted": "on", **asked}, follow=True)
    said = [str(message) for message in answer.context["messages"]]
    assert len(said) == 1
    assert said[0].startswith("Done"), said
    row.refresh_from_db()
    assert expected is None or expected(row)
    made = AuditEvent.objects.order_by("pk")[events:]
    by_us = [event for event in made if (event.actor_kind, event.actor_ref) == ("staff", superuser.user.ref)]
    assert by_us
    assert any("because of a test" in bytes(event.leaf).decode() for event in by_us)


def do(client: Any, row: Any, name: str, **values: str) -> list[str]:
    answer = client.post(
        act_url(type(row), name, row.pk), {"reason": "test", "_form_submitted": "on", **values}, follow=True
    )
    return [str(message) for message in answer.context["messages"]]


REFUSALS = {
    "a node in a tenant's hands": (lambda: node_in("active"), "quarantine", {}, "quarantine is not possible now"),
    "a node that is sold": (lambda: node_in("available"), "retire", {}, "retire is not possible now"),
    "a node with a job": (lambda: live_cleaning().node, "maintain", {}, "A clean job has the node"),
    "an available node": (lambda: node_in("available"), "take_in", {}, "verify is not possible now"),
    "a job that is done": (
        lambda: everything.job_of(node_in("available"), kind=JobKind.CLEAN, state=JobState.DONE),
        "cancel", {}, "The job is done already",
    ),
    "a failed deployment": (
        lambda: everything.job_of(node_in("quarantined"), kind=JobKind.DEPLOY, state=JobState.FAILED),
        "retry", {}, "This kind of job is not retried",
    ),
    "an active tenant": (tenant_with, "reinstate", {}, "reinstate is not possible now"),
    "a tenant without a VAT id": (tenant_with, "verify_vat_id", {}, "This tenant has given no VAT id"),
    "an amount of nothing": (tenant_with, "grant_credit", {"amount": "0"}, "Credit is a positive amount"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_a_refusal_is_a_message_and_changes_nothing(superuser, story, case):
    make, name, values, words = REFUSALS[case]
    row = make()
    stored, events = rows(type(row)), AuditEvent.objects.count()
    assert (
        act_url(type(row), name, row.pk).rstrip("/")
        not in superuser.get(url(type(row), "change", row.pk)).content.decode()
        or values
    ), "a button that is always refused"
    said = do(superuser, row, name, **values)
    assert len(said) == 1
    assert words in said[0]
    assert (rows(type(row)), AuditEvent.objects.count()) == (stored, events)


def test_retiring_is_refused_while_the_node_is_promised_or_a_deployment_waits_for_it(superuser, story):
    promised = story.allocations.get().node
    Job.objects.filter(node=promised).update(state=JobState.CANCELLED)
    Node.objects.filter(pk=promised.pk).update(state=NodeState.MAINTENANCE)
    assert "is promised to reservation" in do(superuser, promised, "retire")[0]

    waited_for = node_in("maintenance")
    everything.job_of(waited_for, kind=JobKind.DEPLOY, reservation_ref="res_x", is_queued=True)
    assert "a deploy job has the node" in do(superuser, waited_for, "retire")[0].lower()
    assert set(Node.objects.filter(pk__in=[promised.pk, waited_for.pk]).values_list("state", flat=True)) == {
        "maintenance"
    }


def test_retiring_a_node_that_was_not_erased_is_told_to_the_tenant_it_served(superuser, story):
    tenant = story.tenant
    node = node_in("quarantined", holder=tenant)
    assert do(superuser, node, "retire")[0].startswith("Done")
    event = AuditEvent.objects.get(kind="node.retire", subject_ref=node.ref)
    assert (event.log_tenant_id, event.details["erased"]) == (tenant.pk, False)


def test_whoever_may_change_invoices_issues_them_and_nothing_else(clerk, story):
    invoice = everything.draft()
    assert do(clerk, invoice, "issue")[0].startswith("Done")
    invoice.refresh_from_db()
    assert invoice.number
    tenant = tenant_with()
    refused = clerk.post(act_url(Tenant, "suspend", tenant.pk), {"reason": "x", "_form_submitted": "on"})
    tenant.refresh_from_db()
    assert (refused.status_code, tenant.state) == (403, "active")
    # The permission to change an invoice is one to act; its figures stay what they are.
    assert clerk.post(url(Invoice, "change", invoice.pk), {"net": "1"}).status_code == 403


def test_credit_given_on_the_desk_is_the_tenants_to_use(superuser, story):
    from billing import selectors

    before = selectors.balance(tenant_id=story.tenant_id).available
    do(superuser, story.tenant, "grant_credit", amount="12.50")
    assert Decimal(str(selectors.balance(tenant_id=story.tenant_id).available)) - Decimal(str(before)) == Decimal(
        "12.50"
    )


def test_by_htmx_the_dialog_sends_the_browser_to_the_row(superuser, story):
    price = everything.later_price()
    answer = superuser.post(
        act_url(Price, "end_now", price.pk), {"reason": "test", "_form_submitted": "on"}, headers={"HX-Request": "true"}
    )
    assert (answer.status_code, answer["HX-Redirect"]) == (200, f"/admin/billing/price/{price.pk}/change/")


def test_an_act_on_a_row_that_is_not_there_is_a_404(superuser, story):
    for model, name in acts():
        values = {"reason": "x", "_form_submitted": "on", "amount": "1", "max_nodes": "1"}
        assert superuser.post(act_url(model, name, 999_999), values).status_code == 404
