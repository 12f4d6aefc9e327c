"""Invitations, roles and departures."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail

from accounts import selectors, services
from accounts.errors import InvitationNotFound, LastOwner
from accounts.models import Invitation, Membership
from accounts.roles import Role
from common.actors import ActorKind
from common.errors import Conflict, Forbidden, InvalidRequest, NotFound
from compliance.audit.models import AuditEvent
from tests.accounts import people


def test_an_invitation_is_mailed_after_commit_and_lets_the_invited_in_once(
    tenant, owner, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        made = services.invite(actor=owner, email="Helena@RUR.example ", role=Role.ENGINEER)
    assert mail.outbox[0].to == ["helena@rur.example"]
    assert f"/invitations/{made.token}/" in mail.outbox[0].body
    assert made.token not in repr(made)
    assert not re.search(re.escape(made.token), str(Invitation.objects.values_list().get()))
    helena = people.make_user(email="helena@rur.example")
    assert services.accept_invitation(user=helena, token=made.token).role == Role.ENGINEER
    with pytest.raises(InvitationNotFound):
        services.accept_invitation(user=helena, token=made.token)
    kinds = AuditEvent.objects.filter(log_tenant_id=tenant[0].pk, kind__startswith="member.").values_list(
        "kind", flat=True
    )
    assert sorted(kinds) == ["member.invited", "member.joined"]


def test_an_invitation_counts_for_the_confirmed_address_it_was_sent_to(owner):
    made = services.invite(actor=owner, email="helena@rur.example", role=Role.ENGINEER)
    for user in (people.make_user(), people.make_user(email="helena@rur.example", confirmed=False)):
        with pytest.raises(Forbidden):
            services.accept_invitation(user=user, token=made.token)
    assert Membership.objects.count() == 1


def test_a_second_invitation_replaces_the_first_and_a_withdrawn_or_old_one_is_dead(owner):
    helena = people.make_user(email="helena@rur.example")
    first = services.invite(actor=owner, email="helena@rur.example", role=Role.ENGINEER)
    second = services.invite(actor=owner, email="helena@rur.example", role=Role.AUDITOR)
    with pytest.raises(InvitationNotFound):
        services.accept_invitation(user=helena, token=first.token)
    services.withdraw_invitation(actor=owner, ref=second.invitation.ref)
    with pytest.raises(NotFound):
        services.withdraw_invitation(actor=owner, ref=second.invitation.ref)
    third = services.invite(actor=owner, email="helena@rur.example", role=Role.AUDITOR)
    assert list(selectors.open_invitations(actor=owner)) == [third.invitation]
    Invitation.objects.filter(pk=third.invitation.pk).update(expires_at=third.invitation.created_at - timedelta(1))
    for token in (second.token, third.token, "nonsense"):
        with pytest.raises(InvitationNotFound):
            services.accept_invitation(user=helena, token=token)


def test_who_is_a_member_already_or_no_address_is_not_invited(tenant, owner):
    with pytest.raises(Conflict):
        services.invite(actor=owner, email=tenant[1].email, role=Role.ADMIN)
    for email, role in (("nobody", Role.ADMIN), ("a@b.example", "emperor")):
        with pytest.raises(InvalidRequest):
            services.invite(actor=owner, email=email, role=role)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.BILLING, Role.AUDITOR, Role.OVERSEER])
def test_only_owners_and_administrators_manage_members(tenant, role):
    person, actor = people.make_member(tenant[0], role)
    for act in (
        lambda: services.invite(actor=actor, email="x@y.example", role=Role.ENGINEER),
        lambda: services.change_role(actor=actor, user_ref=person.ref, role=Role.OWNER),
        lambda: services.remove_member(actor=actor, user_ref=person.ref),
    ):
        with pytest.raises(Forbidden):
            act()
    assert Membership.objects.get(user=person).role == role


def test_an_administrator_neither_makes_nor_changes_owners(tenant):
    made, user, _owner = tenant
    person, admin = people.make_member(made, Role.ADMIN)
    for act in (
        lambda: services.invite(actor=admin, email="x@y.example", role=Role.OWNER),
        lambda: services.change_role(actor=admin, user_ref=person.ref, role=Role.OWNER),
        lambda: services.change_role(actor=admin, user_ref=user.ref, role=Role.ENGINEER),
        lambda: services.remove_member(actor=admin, user_ref=user.ref),
    ):
        with pytest.raises(Forbidden):
            act()


def test_a_key_manages_no_members(owner):
    program = replace(owner, kind=ActorKind.API_KEY, scopes=frozenset({"read", "write", "billing"}))
    with pytest.raises(Forbidden):
        services.invite(actor=program, email="x@y.example", role=Role.ENGINEER)


def test_the_last_owner_stays_an_owner(tenant, owner):
    made, user, _actor = tenant
    for act in (
        lambda: services.change_role(actor=owner, user_ref=user.ref, role=Role.ADMIN),
        lambda: services.remove_member(actor=owner, user_ref=user.ref),
    ):
        with pytest.raises(LastOwner):
            act()
    second, _second_actor = people.make_member(made, Role.ENGINEER)
    services.change_role(actor=owner, user_ref=second.ref, role=Role.OWNER)
    services.change_role(actor=owner, user_ref=user.ref, role=Role.ADMIN)
    event = AuditEvent.objects.filter(kind="member.role_changed").latest("pk")
    assert (event.details["before"], event.details["after"]) == ("owner", "admin")


def test_members_of_other_tenants_are_not_found(owner):
    _tenant, stranger, _other = people.make_tenant()
    for act in (services.remove_member, lambda **who: services.change_role(**who, role=Role.ADMIN)):
        with pytest.raises(NotFound):
            act(actor=owner, user_ref=stranger.ref)
    assert Membership.objects.get(user=stranger).role == Role.OWNER
