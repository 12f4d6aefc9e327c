"""A repeated POST is answered again and not done again."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import ApiKey, SshKey
from api import idempotency
from api.models import IdempotencyKey
from common.clock import database_now
from tests.accounts import people
from tests.accounts.test_keys import fresh
from tests.api.caller import problem, with_key, with_session


def add(caller, text, key, **body):
    return caller.post("/ssh-keys", {"name": "laptop", "public_key": text, **body}, key=key)


def test_the_same_request_again_gets_the_stored_answer(api):
    text = fresh()
    first, second = (add(api, text, "k-1") for _twice in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert SshKey.objects.count() == 1


def test_equal_json_counts_as_equal_however_it_is_written(api):
    text = fresh()
    add(api, text, "k-1")
    headers = {"Authorization": f"Bearer {api.secret}", "Idempotency-Key": "k-1"}
    body = f'{{ "public_key" : "{text}",\n "name": "laptop" }}'
    again = api.client.post("/api/v1/ssh-keys", body, content_type="application/json", headers=headers)
    assert again["Idempotency-Replayed"] == "true"


def test_the_key_with_another_body_address_or_caller_is_refused(api, owner):
    text = fresh()
    add(api, text, "k-1")
    problem(add(api, text, "k-1", name="desk"), 422, "idempotency-key-reused")
    problem(add(with_key(owner), text, "k-1"), 422, "idempotency-key-reused")
    problem(api.post("/quotes", {"name": "laptop", "public_key": text}, key="k-1"), 422, "idempotency-key-reused")
    assert SshKey.objects.count() == 1


def test_keys_of_two_tenants_have_nothing_to_do_with_each_other(api):
    text = fresh()
    other = with_key(people.make_tenant()[2])
    assert add(api, text, "k-1").json()["id"] != add(other, text, "k-1").json()["id"]


def test_a_failed_request_changed_nothing_and_may_be_tried_again(api):
    text = fresh()
    problem(add(api, "ssh-rsa AAAA", "k-1"), 400, "bad-ssh-key")
    assert not IdempotencyKey.objects.exists()
    assert add(api, text, "k-1").status_code == 201


def test_while_the_first_is_being_worked_on_the_second_is_told_to_wait(api):
    text = fresh()
    add(api, text, "k-1")
    until = database_now() + timedelta(seconds=30)
    IdempotencyKey.objects.update(answered_at=None, answer_sealed=None, claimed_until=until)
    answer = add(api, text, "k-1")
    assert problem(answer, 409, "idempotency-in-progress")["retry"] is True
    assert answer["Retry-After"] == "1"


def test_a_claim_left_by_a_crash_runs_out_and_the_repetition_does_the_work(api):
    text = fresh()
    add(api, text, "k-1")
    # As a crash before commit leaves it: the claim is there, the effect is not.
    SshKey.objects.all().delete()
    IdempotencyKey.objects.update(answered_at=None, answer_sealed=None, claimed_until=database_now())
    assert add(api, text, "k-1").status_code == 201
    assert SshKey.objects.count() == 1
    assert add(api, text, "k-1")["Idempotency-Replayed"] == "true"


def test_who_lost_the_claim_meanwhile_changes_nothing(api, monkeypatch):
    seal = idempotency.vault.seal

    def overtaken(*args, **kwargs):
        IdempotencyKey.objects.update(claim="somebody else")
        return seal(*args, **kwargs)

    monkeypatch.setattr(idempotency.vault, "seal", overtaken)
    problem(add(api, fresh(), "k-1"), 409, "idempotency-in-progress")
    assert not SshKey.objects.exists()


def test_the_secret_of_a_new_key_is_replayed_but_not_stored_in_clear(portal):
    body = {"name": "ci", "scopes": ["read"]}
    first, second = (portal.post("/api-keys", body, key="k-1") for _twice in range(2))
    assert first.json()["secret"] == second.json()["secret"]
    assert ApiKey.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text, encode(answer_sealed, 'escape') FROM api_idempotencykey t")
        assert first.json()["secret"].split("_", 2)[2] not in "".join(cursor.fetchone())


def test_a_replay_asks_for_permission_again(tenant):
    from accounts.models import Membership

    session = with_session(tenant[1])
    body = {"name": "ci", "scopes": ["read"]}
    assert session.post("/api-keys", body, key="k-1").status_code == 201
    Membership.objects.update(role="engineer")
    problem(session.post("/api-keys", body, key="k-1"), 403, "forbidden")


@pytest.mark.parametrize("key", ["", "x" * 129, "with space", "žluťoučký"])
def test_a_key_that_is_no_key_is_refused(api, key):
    problem(add(api, fresh(), key.encode().decode("latin-1")), 400, "idempotency-key-unusable")


def test_reserving_asks_for_a_key(buyer):
    problem(buyer.post("/reservations", {"quote": "quo_x"}), 400, "idempotency-key-missing")


def test_keys_are_forgotten_after_a_day(api):
    text = fresh()
    add(api, text, "k-1")
    IdempotencyKey.objects.update(created_at=database_now() - timedelta(hours=23, minutes=59))
    assert idempotency.forget_old_keys() == 0
    IdempotencyKey.objects.update(created_at=database_now() - timedelta(hours=24, seconds=1))
    # Forgotten by its age even before the task comes by: another request may use the key.
    assert add(api, fresh(), "k-1", name="desk").status_code == 201
    IdempotencyKey.objects.update(created_at=database_now() - timedelta(hours=24, seconds=1))
    assert idempotency.forget_old_keys(batch=1) == 1
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_with_one_key_do_it_once():
    owner = people.make_tenant()[2]
    callers = [with_key(owner)]
    text, gate, answers = fresh(), threading.Barrier(10), []

    def send():
        gate.wait(timeout=30)
        try:
            answers.append(add(callers[0], text, "k-1"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 10
    assert {answer.status_code for answer in answers} <= {201, 409}
    done = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(set(done)) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency-in-progress"}
    assert SshKey.objects.count() == 1
