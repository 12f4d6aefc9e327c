"""Who gets in, as whom, and with what."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts import services
from accounts.models import ApiKey, Membership, SshKey, Tenant
from accounts.roles import Role
from accounts.states import TenantState
from common.clock import database_now
from tests.accounts import people
from tests.accounts.test_keys import fresh
from tests.api.caller import Caller, problem, with_key, with_session


def test_a_key_acts_for_its_tenant_in_its_makers_role(api, tenant):
    body = api.get("/account").json()
    assert (body["tenant"]["id"], body["role"]) == (tenant[0].ref, "owner")
    assert "manage_api_keys" not in body["permissions"]
    api.key.refresh_from_db()
    assert api.key.last_used_at is not None


@pytest.mark.parametrize(
    "change",
    ["revoked", "expired", "wrong secret", "unknown prefix", "garbage", "empty", "basic", "left", "inactive"],
)
def test_a_key_that_is_not_good_is_refused_the_same_way_whatever_is_wrong(api, tenant, change):
    _tenant, user, _actor = tenant
    now = database_now()
    header = f"Bearer {api.secret}"
    if change == "revoked":
        ApiKey.objects.update(revoked_at=now)
    elif change == "expired":
        ApiKey.objects.update(expires_at=now)
    elif change == "left":
        Membership.objects.filter(user=user).delete()
    elif change == "inactive":
        user.is_active = False
        user.save()
    else:
        header = {
            "wrong secret": header[:-1] + ("A" if header[-1] != "A" else "B"),
            "unknown prefix": f"Bearer ck_{'0' * 10}_{api.secret.split('_', 2)[2]}",
            "garbage": "Bearer ck_x",
            "empty": "Bearer",
            "basic": "Basic YTpi",
        }[change]
    answer = Caller().get("/account", Authorization=header)
    problem(answer, 401, "not-authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="chapek"'


def test_a_bad_key_is_refused_even_where_none_is_needed(visitor):
    problem(visitor.get("/catalogue", Authorization="Bearer ck_bad"), 401, "not-authenticated")


def test_a_key_loses_what_its_makers_role_loses(api, tenant):
    _tenant, user, _actor = tenant
    Membership.objects.filter(user=user).update(role=Role.AUDITOR)
    problem(api.post("/ssh-keys", {"public_key": fresh()}), 403, "forbidden")
    assert not SshKey.objects.exists()
    assert api.get("/ssh-keys").status_code == 200


def test_scopes_narrow_a_key(owner):
    reader, writer = with_key(owner, "read"), with_key(owner, "write")
    problem(reader.post("/ssh-keys", {"public_key": fresh()}), 403, "forbidden")
    assert writer.post("/ssh-keys", {"public_key": fresh()}).status_code == 201
    assert reader.get("/invoices").status_code == 200
    body = problem(writer.get("/invoices"), 403, "forbidden")
    assert body["hint"] == "use a key with another scope"
    assert body["facts"] == {"permission": "view_billing"}


def test_a_session_works_and_changing_anything_needs_the_csrf_token(tenant):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(tenant[1], backend="django.contrib.auth.backends.ModelBackend")
    session = Caller(client=client)
    assert session.get("/account").status_code == 200
    problem(session.post("/ssh-keys", {"public_key": fresh()}), 403, "forbidden")
    assert not SshKey.objects.exists()
    client.get("/accounts/password/change/")
    token = client.cookies["csrftoken"].value
    assert session.post("/ssh-keys", {"public_key": fresh()}, **{"X-CSRFToken": token}).status_code == 201


def test_a_key_needs_no_csrf_token(api):
    api.client = Client(enforce_csrf_checks=True)
    assert api.post("/ssh-keys", {"public_key": fresh()}).status_code == 201


def test_keys_are_made_and_revoked_in_a_session_only(api, portal):
    problem(api.post("/api-keys", {"name": "ci", "scopes": ["read"]}), 403, "forbidden")
    made = portal.post("/api-keys", {"name": "ci", "scopes": ["read"]})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["secret"]
    assert Caller(secret=secret).get("/ssh-keys").status_code == 200
    listed = portal.get("/api-keys").json()["results"]
    assert all("secret" not in key for key in listed)
    problem(api.delete(f"/api-keys/{made.json()['id']}"), 403, "forbidden")
    assert portal.delete(f"/api-keys/{made.json()['id']}").status_code == 204
    problem(Caller(secret=secret).get("/ssh-keys"), 401, "not-authenticated")


def test_who_acts_for_no_tenant_is_told_what_to_do(db):
    body = problem(with_session(people.make_user()).get("/account"), 403, "no-tenant")
    assert body["hint"]


def test_staff_see_no_tenants_rows_through_the_api(db):
    user = people.make_user()
    user.is_staff = user.is_superuser = True
    user.save()
    problem(with_session(user).get("/reservations"), 403, "no-tenant")


def test_a_suspended_tenant_reads_but_starts_nothing(buyer):
    Tenant.objects.filter(pk=buyer.actor.tenant_id).update(state=TenantState.SUSPENDED)
    assert buyer.get("/reservations").status_code == 200
    problem(buyer.post("/quotes", {"node_type": "h200-8"}), 403, "tenant-suspended")


def test_ssh_keys_are_added_shown_and_removed(api):
    text = fresh()
    made = api.post("/ssh-keys", {"name": "laptop", "public_key": text})
    assert made.status_code == 201
    assert made.json()["public_key"] == text
    one = f"/ssh-keys/{made.json()['id']}"
    assert api.get(one).json() == made.json()
    body = problem(api.post("/ssh-keys", {"name": "x", "public_key": "ssh-rsa AAAA"}), 400, "bad-ssh-key")
    assert "damaged" in body["detail"]
    assert api.delete(one).status_code == 204
    problem(api.get(one), 404, "not-found")
    problem(api.delete(one), 404, "not-found")


def test_last_used_is_not_written_for_each_request(api, django_assert_num_queries):
    api.get("/projects")
    before = ApiKey.objects.get().last_used_at
    api.get("/projects")
    assert ApiKey.objects.get().last_used_at == before
    ApiKey.objects.update(last_used_at=before - timedelta(seconds=61))
    api.get("/projects")
    assert ApiKey.objects.get().last_used_at >= before


def test_the_service_is_called_with_the_request_id(api):
    from compliance.audit.models import AuditEvent

    made = api.post("/ssh-keys", {"public_key": fresh()}, **{"X-Request-Id": "my-own-id-1"})
    event = AuditEvent.objects.get(kind="ssh_key.added")
    assert (event.request_id, made["X-Request-Id"]) == ("my-own-id-1", "my-own-id-1")
    assert (event.actor_kind, event.actor_ref) == ("api_key", api.key.ref)


def test_secrets_never_come_back(owner, portal):
    made = services.make_api_key(actor=owner, name="ci", scopes=["read"], expires_at=None)
    shown = portal.get(f"/api-keys/{made.key.ref}").content.decode()
    assert made.secret not in shown
    assert made.key.secret_sha256 not in shown
