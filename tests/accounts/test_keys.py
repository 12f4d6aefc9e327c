"""SSH keys and API keys of a tenant."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts import selectors, services
from accounts.errors import BadSshKey, KeyKnownAlready, LimitReached, NameTaken
from accounts.models import ApiKey, SshKey
from accounts.roles import Role
from accounts.services import api_keys
from common.actors import ActorKind
from common.clock import database_now
from common.errors import Forbidden, InvalidRequest, NotFound
from compliance.audit.models import AuditEvent
from tests.accounts import people


def fresh():
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_key_is_kept_named_by_its_comment_and_logged(owner):
    key = services.add_ssh_key(actor=owner, name="", public_key=f"{fresh()} karel@laptop")
    assert (key.name, key.algorithm, key.bits) == ("karel@laptop", "ssh-ed25519", 256)
    event = AuditEvent.objects.get(kind="ssh_key.added")
    assert (event.subject_ref, event.details["fingerprint"]) == (key.ref, key.fingerprint)


def test_the_same_key_or_name_twice_is_refused_and_another_tenant_may_have_both(owner):
    text = fresh()
    services.add_ssh_key(actor=owner, name="laptop", public_key=text)
    with pytest.raises(KeyKnownAlready):
        services.add_ssh_key(actor=owner, name="desk", public_key=f"{text} other comment")
    with pytest.raises(NameTaken):
        services.add_ssh_key(actor=owner, name="laptop", public_key=fresh())
    _tenant, _user, other = people.make_tenant()
    services.add_ssh_key(actor=other, name="laptop", public_key=text)
    assert SshKey.objects.count() == 2


def test_a_refused_key_leaves_no_row_and_no_event(owner):
    before = AuditEvent.objects.count()
    with pytest.raises(BadSshKey):
        services.add_ssh_key(actor=owner, name="junk", public_key="ssh-rsa AAAA")
    assert (SshKey.objects.count(), AuditEvent.objects.count()) == (0, before)


def test_the_number_of_keys_is_limited(owner, monkeypatch):
    monkeypatch.setattr("accounts.services.ssh_keys.MOST_SSH_KEYS", 1)
    services.add_ssh_key(actor=owner, name="a", public_key=fresh())
    with pytest.raises(LimitReached):
        services.add_ssh_key(actor=owner, name="b", public_key=fresh())


def test_removal_is_logged_and_only_of_ones_own(owner):
    key = services.add_ssh_key(actor=owner, name="laptop", public_key=fresh())
    _tenant, _user, other = people.make_tenant()
    with pytest.raises(NotFound):
        services.remove_ssh_key(actor=other, ref=key.ref)
    services.remove_ssh_key(actor=owner, ref=key.ref)
    assert not SshKey.objects.exists()
    assert AuditEvent.objects.get(kind="ssh_key.removed").subject_ref == key.ref


def test_keys_are_found_by_ref_in_the_order_asked_for_and_a_strangers_is_not_found(owner):
    first, second = (services.add_ssh_key(actor=owner, name=name, public_key=fresh()) for name in "ab")
    found = selectors.ssh_keys_named(actor=owner, refs=[second.ref, first.ref, second.ref])
    assert found == [second, first]
    _tenant, _user, other = people.make_tenant()
    with pytest.raises(NotFound):
        selectors.ssh_keys_named(actor=other, refs=[first.ref])


def test_an_api_key_is_shown_once_and_only_its_hash_is_kept(owner):
    made = services.make_api_key(actor=owner, name="ci", scopes=["read", "read"], expires_at=None)
    prefix, secret = made.secret.split("_", 2)[1:]
    assert (len(secret), made.key.prefix, made.key.scopes) == (43, prefix, ["read"])
    assert made.key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert made.secret not in repr(made)
    assert made.key.expires_at - made.key.created_at == timedelta(days=366)
    event = AuditEvent.objects.get(kind="api_key.made")
    assert secret not in bytes(event.leaf).decode()


@pytest.mark.parametrize(
    "asked",
    [
        {"name": ""},
        {"name": "x" * 81},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"expires_at": "past"},
        {"expires_at": "far"},
        {"expires_at": "naive"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused_and_leaves_nothing(owner, asked):
    now = database_now()
    times = {"past": now, "far": now + timedelta(days=367), "naive": now.replace(tzinfo=None)}
    if "expires_at" in asked:
        asked = {"expires_at": times[asked["expires_at"]]}
    with pytest.raises(InvalidRequest):
        services.make_api_key(actor=owner, **{"name": "ci", "scopes": ["read"], "expires_at": None, **asked})
    assert not ApiKey.objects.exists()


def test_a_key_makes_no_key_and_nobody_gives_away_more_than_their_role_has(tenant):
    made, _user, owner = tenant
    program = replace(owner, kind=ActorKind.API_KEY, scopes=frozenset({"read", "write", "billing"}))
    with pytest.raises(Forbidden):
        services.make_api_key(actor=program, name="ci", scopes=["read"], expires_at=None)
    for role in (Role.ENGINEER, Role.BILLING, Role.AUDITOR, Role.OVERSEER):
        _person, actor = people.make_member(made, role)
        with pytest.raises(Forbidden):
            services.make_api_key(actor=actor, name="ci", scopes=["read"], expires_at=None)
    assert not ApiKey.objects.exists()


def test_live_keys_are_limited_and_revoked_ones_do_not_count(owner, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST_API_KEYS", 1)
    first = services.make_api_key(actor=owner, name="a", scopes=["read"], expires_at=None)
    with pytest.raises(LimitReached):
        services.make_api_key(actor=owner, name="b", scopes=["read"], expires_at=None)
    services.revoke_api_key(actor=owner, ref=first.key.ref)
    services.make_api_key(actor=owner, name="b", scopes=["read"], expires_at=None)


def test_revoking_is_logged_once_and_only_of_ones_own(owner):
    made = services.make_api_key(actor=owner, name="ci", scopes=["read"], expires_at=None)
    _tenant, _user, other = people.make_tenant()
    with pytest.raises(NotFound):
        services.revoke_api_key(actor=other, ref=made.key.ref)
    for _twice in range(2):
        assert services.revoke_api_key(actor=owner, ref=made.key.ref).revoked_at is not None
    assert AuditEvent.objects.filter(kind="api_key.revoked").count() == 1


def test_last_use_is_written_once_a_minute(owner, django_assert_num_queries):
    key = services.make_api_key(actor=owner, name="ci", scopes=["read"], expires_at=None).key
    now = database_now()
    services.touch_api_key(key=key, at=now)
    key.refresh_from_db()
    assert key.last_used_at == now
    with django_assert_num_queries(0):
        services.touch_api_key(key=key, at=now + timedelta(seconds=59))
    services.touch_api_key(key=key, at=now + timedelta(seconds=60))
    key.refresh_from_db()
    assert key.last_used_at == now + timedelta(seconds=60)
