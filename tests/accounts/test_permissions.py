"""Roles, scopes, and that neither gives more than it says."""

from dataclasses import replace

import pytest

from accounts.errors import NotAMember
from accounts.models import SshKey
from accounts.permissions import may, permissions_of, require
from accounts.roles import GRANTS, SCOPES, Permission, Role, Scope
from common.actors import Actor, ActorKind, system_actor
from common.errors import Forbidden
from common.tenancy import TenantScopeMissing

PERSON = Actor(kind=ActorKind.USER, ref="usr_1", tenant_id=1, user_id=1)


@pytest.mark.parametrize("role", Role)
def test_a_person_may_what_their_role_grants_and_nothing_else(role):
    actor = replace(PERSON, role=role)
    assert permissions_of(actor=actor) == GRANTS[role]
    for permission in set(Permission) - {Permission(value) for value in GRANTS[role]}:
        assert not may(actor=actor, permission=permission)
        with pytest.raises(Forbidden):
            require(actor, permission)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("scope", Scope)
def test_a_key_has_what_scope_and_role_both_give(role, scope):
    actor = replace(PERSON, kind=ActorKind.API_KEY, role=role, scopes=frozenset({scope}))
    assert permissions_of(actor=actor) == GRANTS[role] & SCOPES[scope]


def test_no_scope_opens_the_management_of_keys_or_tenant():
    opened = frozenset().union(*SCOPES.values())
    assert not opened & {Permission.MANAGE_API_KEYS, Permission.MANAGE_TENANT}


def test_an_unknown_role_or_scope_gives_nothing():
    assert permissions_of(actor=replace(PERSON, role="emperor")) == frozenset()
    key = replace(PERSON, kind=ActorKind.API_KEY, role=Role.OWNER, scopes=frozenset({"everything"}))
    assert permissions_of(actor=key) == frozenset()


def test_who_acts_for_no_tenant_is_told_so_and_sees_no_rows():
    actor = replace(PERSON, tenant_id=None)
    with pytest.raises(NotAMember):
        require(actor, Permission.VIEW)
    for stranger in (None, actor, system_actor(name="test"), replace(PERSON, kind=ActorKind.STAFF)):
        with pytest.raises(TenantScopeMissing):
            SshKey.objects.visible_to(stranger)
