"""A member asks a person to join; the mailed link works once, for the invited address alone."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import Invitation, Membership, User
from tests.billing.world import make_seller
from tests.reservations.world import make_buyer


@pytest.fixture
def owner(db):
    make_seller()
    actor, _key = make_buyer(credit="0")
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client, actor


def person(email):
    user = User.objects.create_user(email, "a-long-password")
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    client = Client()
    client.force_login(user)
    return client, user


def invite(client, django_capture_on_commit_callbacks, email="grace@tenant.example"):
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/team/invite/", {"email": email, "role": "engineer"})
    return re.search(r"/invitations/[^/\s]+/", mail.outbox[-1].body).group()


def test_an_invited_person_joins_once(owner, django_capture_on_commit_callbacks):
    client, actor = owner
    link = invite(client, django_capture_on_commit_callbacks)
    grace, user = person("grace@tenant.example")
    assert "engineer" in grace.get(link).content.decode().lower()
    assert grace.post(link).status_code == 302
    membership = Membership.objects.get(user=user)
    assert (membership.tenant_id, membership.role) == (actor.tenant_id, "engineer")
    assert grace.get(link).status_code == 404
    assert grace.post(link).status_code == 404
    assert Membership.objects.filter(user=user).count() == 1


def test_the_link_is_good_for_no_other_address(owner, django_capture_on_commit_callbacks):
    client, _actor = owner
    link = invite(client, django_capture_on_commit_callbacks)
    mallory, user = person("mallory@tenant.example")
    assert mallory.post(link).status_code == 403
    assert not Membership.objects.filter(user=user).exists()


def test_a_withdrawn_invitation_stands_no_more(owner, django_capture_on_commit_callbacks):
    client, _actor = owner
    link = invite(client, django_capture_on_commit_callbacks)
    client.post(f"/team/invitations/{Invitation.objects.get().ref}/withdraw/")
    grace, _user = person("grace@tenant.example")
    assert grace.post(link).status_code == 404


def test_a_visitor_is_sent_to_log_in_first(owner, django_capture_on_commit_callbacks):
    client, _actor = owner
    link = invite(client, django_capture_on_commit_callbacks)
    answer = Client().get(link)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


@pytest.mark.parametrize("email", ["", "not an address", "a@b", "x@y.example\nBcc: z@y.example"])
def test_a_bad_address_is_said_and_nothing_is_sent(owner, email):
    client, _actor = owner
    assert client.post("/team/invite/", {"email": email, "role": "engineer"}).status_code == 422
    assert not Invitation.objects.exists()
