"""What nobody edits: ledger, invoices, usage, audit rows, evidence and all else that is only shown."""

import pytest

from compliance.audit.models import AuditEvent
from tests.operations.pages import MODELS, READ_ONLY, label, rows, url

SACRED = {
    "audit.AuditEvent",
    "audit.Checkpoint",
    "billing.Charge",
    "billing.CreditLine",
    "billing.Hold",
    "billing.Invoice",
    "billing.LedgerAccount",
    "billing.LedgerTransaction",
    "billing.PriceSnapshot",
    "billing.UsageInterval",
    "common.OutboxEvent",
    "mfa.Authenticator",
    "provisioning.EraseRecord",
    "provisioning.HealthFinding",
    "provisioning.HealthRecord",
    "provisioning.Job",
    "reservations.Quote",
    "reservations.Reservation",
}


def test_what_must_not_be_edited_is_read_only() -> None:
    assert {label(model) for model in READ_ONLY} >= SACRED


@pytest.mark.parametrize("who", ["superuser", "viewer"])
def test_nothing_that_is_only_shown_can_be_added_changed_or_deleted(request, story, who):
    client = request.getfixturevalue(who)
    events = AuditEvent.objects.count()
    for model in READ_ONLY:
        stored = rows(model)
        pk = stored[0]["id"]
        filled = dict.fromkeys(stored[0], "1")
        answers = [
            client.post(url(model, "add"), filled).status_code,
            client.post(url(model, "change", pk), filled).status_code,
            client.post(url(model, "delete", pk), {"post": "yes"}).status_code,
        ]
        assert answers == [403, 403, 403], label(model)
        client.post(
            url(model, "changelist"),
            {"action": "delete_selected", "_selected_action": [pk], "post": "yes", "index": "0"},
        )
        client.post(url(model, "changelist"), {"form-0-id": pk, "form-0-state": "x", "_save": "1", **filled})
        assert rows(model) == stored, label(model)
    assert AuditEvent.objects.count() == events


def test_nothing_at_all_is_deleted_on_the_desk(superuser, story):
    for model in MODELS:
        stored = rows(model)
        pk = stored[0]["id"]
        assert superuser.post(url(model, "delete", pk), {"post": "yes"}).status_code == 403, label(model)
        assert rows(model) == stored, label(model)


def test_a_price_that_stands_is_not_edited(superuser, story):
    model = next(one for one in MODELS if label(one) == "billing.Price")
    stored = rows(model)
    filled = {**{name: str(value) for name, value in stored[0].items()}, "rate": "0.01"}
    assert superuser.post(url(model, "change", stored[0]["id"]), filled).status_code == 403
    assert rows(model) == stored
