"""What lasts longer than a request asks again whether it may."""

import asyncio

import pytest
from django.db.models.functions import Now

from accounts.models import ApiKey, Membership, User
from accounts.permissions import still_acts
from api import streams
from api.authentication import actor_of_key
from common.errors import NotFound
from tests.reservations import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def key_actor(buyer):
    found = actor_of_key(token=buyer.secret, request_id="r")
    assert found is not None
    return found[1]


def revoked(_buyer):
    ApiKey.objects.update(revoked_at=Now())


def expired(_buyer):
    ApiKey.objects.update(expires_at=Now())


def left(buyer):
    Membership.objects.filter(user=buyer.user).delete()


def inactive(buyer):
    User.objects.filter(pk=buyer.user.pk).update(is_active=False)


@pytest.mark.parametrize("change", [revoked, expired, left, inactive])
def test_an_open_stream_of_a_key_ends(buyer, key_actor, change):
    made = world.buy(buyer.actor, buyer.ssh_key)
    assert streams._look(key_actor, made.ref)["id"] == made.ref
    change(buyer)
    with pytest.raises(NotFound):
        streams._look(key_actor, made.ref)


@pytest.mark.parametrize(("change", "ends"), [(revoked, False), (left, True), (inactive, True)])
def test_a_persons_stream_ends_with_their_membership(buyer, change, ends):
    change(buyer)
    assert still_acts(actor=buyer.actor) is not ends


@pytest.mark.django_db(transaction=True)
def test_the_stream_itself_stops_without_a_word(buyer, key_actor, monkeypatch):
    made = world.buy(buyer.actor, buyer.ssh_key)
    monkeypatch.setattr(streams, "POLL_S", 0.01)

    async def read():
        pieces = []
        stream = streams.messages(actor=key_actor, ref=made.ref)
        async for piece in stream:
            pieces.append(piece)
            if piece.startswith(b"id:"):
                await asyncio.to_thread(revoke)
        return pieces

    def revoke():
        from django.db import connection

        ApiKey.objects.update(revoked_at=Now())
        connection.close()

    assert [piece[:3] for piece in asyncio.run(read())] == [b"ret", b"id:"]
