"""Nobody sees or touches another tenant's things, or learns that they exist (I5). Generated for every route.

Each route that takes a ref is called with each method it answers, with the ref of a thing of one tenant, by a key and
a session of another: the answer is 404, and the database is what it was. Each route that is not listed as public
refuses a visitor.
"""

import json

import pytest
from django.apps import apps
from django.db import connection

from accounts import services
from accounts.models import SshKey
from billing import services as billing
from billing.models import Invoice
from common.clock import database_now
from reservations.models import Quote, Reservation
from tests.accounts import people
from tests.accounts.test_keys import fresh
from tests.api.caller import Caller, with_key, with_session
from tests.api.routes import routes
from tests.api.test_reservations import activate, pass_time, reserve
from tests.reservations import world

PUBLIC = {
    "openapi": "the description of the API",
    "docs": "the same for people",
    "problems": "what the error codes mean",
    "catalogue": "stock and prices, to be seen before signing up",
    "images": "operating systems on offer",
    "audit-verifier": "a program without secrets, to be had by whoever was given an export",
    "nothing": "says that an address is not there",
}
# Tables that a refused request may write: sessions, who used which key when, and claims that are dropped again.
NOISE = {"django_session", "accounts_apikey", "accounts_user"}
# A body that would do something if the ref were one's own.
BODIES = {"actions": {"action": "release"}, "ssh-keys": {"public_key": "x"}}

ALL = routes("api")
WITH_REF = [(route, method) for route in ALL if route.takes_ref for method in route.methods]
CLOSED = [(route, method) for route in ALL if route.name not in PUBLIC for method in route.methods]


def database():
    """A checksum per table, of every row."""
    sums = {}
    rows = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)), count(*) FROM {} t"
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            if table not in NOISE:
                cursor.execute(rows.format(connection.ops.quote_name(table)))
                sums[table] = cursor.fetchone()
    return sums


@pytest.fixture
def things(buyer):
    """Refs of one tenant's things by the name of the route that shows them; the reservation is running."""
    ref = reserve(buyer).json()["id"]
    activate(ref)
    other = reserve(buyer, key="k-2").json()["id"]
    activate(other)
    pass_time(600)
    buyer.post(f"/reservations/{other}/actions", {"action": "release"}, key="a-1")
    found = {
        "ssh-key": SshKey.objects.visible_to(buyer.actor).first().ref,
        "api-key": buyer.key.ref,
        "quote": Quote.objects.visible_to(buyer.actor).first().ref,
        "invoice": Invoice.objects.visible_to(buyer.actor).first().ref,
    }
    return {route.name: found.get(route.name, ref) for route in ALL if route.takes_ref}


def stranger(kind):
    """Somebody of another tenant that has money and everything: nothing but ownership may stop them."""
    _tenant, user, actor = people.make_tenant()
    billing.grant_credit(tenant=_tenant, amount=world.eur("1000"), reason="test", actor=world.OPERATOR)
    services.add_ssh_key(actor=actor, name="own", public_key=fresh())
    return with_key(actor) if kind == "key" else with_session(user)


@pytest.mark.parametrize("kind", ["key", "session"])
def test_a_stranger_finds_nothing_and_changes_nothing(things, kind):
    caller = stranger(kind)
    caller.get("/projects")
    before, faults = database(), []
    for route, method in WITH_REF:
        mine, nobodys = things[route.name], f"{things[route.name][:4]}{'0' * 26}"
        answer, unknown = (ask(caller, route, method, ref) for ref in (mine, nobodys))
        # A key may not manage API keys at all, whosever they are; everything else is simply not there.
        expected = {403} if (route.name, method, kind) == ("api-key", "delete", "key") else {404, 405}
        if answer.status_code not in expected:
            faults.append(f"{method} {route.path} answers {answer.status_code}")
        if told(answer, mine) != told(unknown, nobodys):
            faults.append(f"{method} {route.path} tells what is another's from what is not there")
        if database() != before:
            faults.append(f"{method} {route.path} changed the database")
            before = database()
    assert faults == []


def ask(caller, route, method, ref):
    path = route.path.replace("/api/v1", "", 1).replace("{ref}", ref)
    body = None if method == "get" else BODIES.get(route.name, {})
    return caller.call(method.upper(), path, body, key=None if method == "get" else f"{route.name}-{ref}")


def told(answer, ref):
    """The answer, with the ref that was asked for and the request's own id taken out."""
    if answer.streaming:
        return "a stream"
    body = json.loads(answer.content.decode().replace(ref, "REF"))
    return {name: value for name, value in body.items() if name != "request_id"}


def test_a_visitor_is_refused_wherever_it_is_not_public(things):
    before, faults = database(), []
    for route, method in CLOSED:
        answer = ask(Caller(), route, method, things.get(route.name, ""))
        if answer.status_code not in {401, 403, 405}:
            faults.append(f"{method} {route.path} answers {answer.status_code}")
        if database() != before:
            faults.append(f"{method} {route.path} changed the database")
            before = database()
    assert faults == []


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_what_is_public_opens_no_session(visitor, name, fleet):
    (route,) = [route for route in ALL if route.name == name]
    path = route.path.replace("/api/v1", "", 1) if name != "nothing" else "/there-is-no-such-thing"
    answer = visitor.get(path)
    assert answer.status_code == (404 if name == "nothing" else 200)
    assert "sessionid" not in answer.cookies


def test_lists_show_ones_own_rows_only(things, buyer):
    caller = stranger("key")
    for route in ALL:
        if route.takes_ref or "get" not in route.methods or route.name in PUBLIC:
            continue
        text = caller.get(route.path.replace("/api/v1", "", 1)).content.decode()
        for ref in {*things.values(), buyer.actor.ref, Reservation.objects.first().ref}:
            assert ref not in text, f"{route} shows {ref}"


def test_every_view_says_what_it_needs_or_is_listed_as_public():
    for route in ALL:
        view = getattr(route.view, "cls", None)
        if view is None:
            assert route.name in PUBLIC or route.name == "stream"
            continue
        actions = set(route.view.actions.values())
        if route.name in PUBLIC:
            assert not view.needs
        else:
            assert actions <= set(view.needs), f"{route}: {actions - set(view.needs)} is closed to all"


def test_the_checksum_sees_a_single_changed_value(things):
    before = database()
    Reservation.objects.update(failure="x", released_at=database_now())
    assert database() != before
