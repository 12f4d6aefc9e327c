"""The live stream: what is sent, when it ends, who may read it."""

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import AsyncClient
from redis.asyncio import Redis

from api import streams
from api.progress import digest, snapshot
from provisioning.progress import channel
from reservations import selectors, services
from tests.api.caller import problem
from tests.api.test_reservations import activate, reserve


def parse(chunks):
    """The messages of a stream: (id, picture)."""
    found = []
    for chunk in chunks:
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines() if ": " in line)
        if "data" in fields:
            found.append((fields["id"], json.loads(fields["data"])))
    return found


def collect(actor, ref, *, seen="", during=None, most=20):
    """Read the stream to its end; ``during(n)`` runs after the n-th chunk."""

    async def run():
        chunks = []
        stream = streams.messages(actor=actor, ref=ref, seen=seen)
        async for chunk in stream:
            chunks.append(chunk)
            if during is not None:
                await during(len(chunks))
            if len(chunks) >= most:
                await stream.aclose()
                break
        return chunks

    return async_to_sync(run)()


@pytest.fixture
def running(buyer):
    return reserve(buyer).json()["id"]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(streams, "POLL_S", 0.01)
    monkeypatch.setattr(streams, "SETTLE_S", 0.0)


def picture_of(buyer, ref):
    return snapshot(reservation=selectors.reservation(actor=buyer.actor, ref=ref))


@pytest.mark.usefixtures("quick")
def test_it_sends_each_new_picture_once_and_ends_when_the_reservation_is_over(buyer, running):
    from asgiref.sync import sync_to_async

    async def during(number):
        if number == 2:
            await sync_to_async(activate)(running)
        elif number == 3:
            await sync_to_async(services.release)(actor=buyer.actor, ref=running)
        elif number == 4:
            await sync_to_async(finish)(running)

    chunks = collect(buyer.actor, running, during=during)
    assert chunks[0] == b"retry: 2000\n\n"
    assert [picture["state"] for _mark, picture in parse(chunks)] == ["deploying", "active", "ending", "ended"]
    marks = [mark for mark, _picture in parse(chunks)]
    assert len(set(marks)) == 4
    assert parse(chunks)[-1][1]["is_final"] is True


def finish(ref):
    from common.clock import database_now
    from inventory.models import Node

    for node in Node.objects.filter(allocations__reservation__ref=ref):
        services.node_cleaned(reservation_ref=ref, node_id=node.pk, occurred_at=database_now())


@pytest.mark.usefixtures("quick")
def test_who_comes_back_is_not_sent_what_they_have_seen(buyer, running, monkeypatch):
    monkeypatch.setattr(streams, "LASTS_S", 0.05)
    assert parse(collect(buyer.actor, running, seen=digest(picture_of(buyer, running)))) == []
    assert len(parse(collect(buyer.actor, running, seen="something older"))) == 1


@pytest.mark.usefixtures("quick")
def test_a_silent_stream_beats_and_ends_after_its_time(buyer, running, monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.0)
    chunks = collect(buyer.actor, running, seen=digest(picture_of(buyer, running)), most=4)
    assert chunks[1:] == [b": alive\n\n"] * 3


@pytest.mark.usefixtures("quick")
def test_without_redis_it_polls(buyer, running, monkeypatch):
    monkeypatch.setattr(settings, "CHAPEK_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(streams, "LASTS_S", 0.1)
    assert len(parse(collect(buyer.actor, running))) == 1


def test_a_message_on_the_channel_wakes_it_at_once(monkeypatch):
    monkeypatch.setattr(streams, "POLL_S", 30.0)

    async def run():
        waker = streams.Waker(channel("res_1"))
        await waker.connect()
        redis = Redis.from_url(settings.CHAPEK_REDIS_URL)
        waiting = asyncio.ensure_future(waker.wait())
        assert await redis.publish(channel("res_1"), "changed") == 1
        await asyncio.wait_for(waiting, timeout=10)
        await waker.close()
        await redis.aclose()

    asyncio.run(run())


def test_a_reader_who_goes_away_gives_their_place_back(buyer, running):
    collect(buyer.actor, running, most=1)
    assert streams._open[buyer.actor.tenant_id] == 0


def ask(ref, **headers):
    async def run():
        answer = await AsyncClient(raise_request_exception=False).get(
            f"/api/v1/reservations/{ref}/events/stream", headers=headers
        )
        if not answer.streaming:
            return answer, b""
        first = b""
        async for chunk in answer:
            first += chunk
            if b"data:" in first:
                break
        return answer, first

    return async_to_sync(run)()


def test_over_http_with_a_key(buyer, running):
    answer, first = ask(running, Authorization=f"Bearer {buyer.secret}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/event-stream"
    assert answer["Cache-Control"] == "no-store"
    assert b"event: progress" in first


def test_who_may_not_read_it(buyer, running):
    problem(ask(running)[0], 401, "not-authenticated")
    problem(ask(running, Authorization="Bearer ck_bad")[0], 401, "not-authenticated")
    problem(ask("res_nothing", Authorization=f"Bearer {buyer.secret}")[0], 404, "not-found")
    problem(buyer.post(f"/reservations/{running}/events/stream", {}), 405, "method-not-allowed")


def test_a_tenant_has_a_bounded_number_of_streams(buyer, running, monkeypatch):
    monkeypatch.setitem(streams._open, buyer.actor.tenant_id, streams.MOST_PER_TENANT)
    answer, _first = ask(running, Authorization=f"Bearer {buyer.secret}")
    problem(answer, 429, "too-many-streams")
    assert answer["Retry-After"] == "10"


def test_a_final_picture_that_was_seen_stops_an_event_source(buyer):
    from datetime import timedelta

    from common.clock import database_now

    ref = reserve(buyer, starts_at=(database_now() + timedelta(days=1)).isoformat()).json()["id"]
    services.cancel(actor=buyer.actor, ref=ref)
    seen = digest(picture_of(buyer, ref))
    headers = {"Authorization": f"Bearer {buyer.secret}", "Last-Event-ID": seen}
    assert ask(ref, **headers)[0].status_code == 204


def test_the_eta_that_counts_down_makes_no_new_message(buyer, running):
    picture = picture_of(buyer, running)
    later = json.loads(json.dumps(picture))
    later["jobs"][0]["eta_low_s"] = 1
    assert digest(later) == digest(picture)
    later["jobs"][0]["steps"][0]["state"] = "done"
    assert digest(later) != digest(picture)
