"""The same for every page of the portal: another tenant's things are not there, and a visitor is sent to the log-in."""

import re

import pytest
from django.test import Client

from tests.api.routes import routes
from tests.api.test_strangers import database, stranger, things  # noqa: F401 - a fixture

PUBLIC = {
    "front": "the front door",
    "stock": "live stock, as part of it",
    "legal": "texts to be read before signing up",
    "theme": "light or dark",
    "favicon": "the mark",
    "mail": "local mails; there in the embedded default only",
    "letter": "one of them",
    "styleguide": "the design system",
}
# Whose ref a page takes, by its name; every other one is about a reservation.
OF = {"remove_ssh_key": "ssh-key", "revoke_api_key": "api-key", "invoice": "invoice"}

ALL = routes("portal")
WITH_REF = [(route, method) for route in ALL if "{ref}" in route.path for method in route.methods]


def ask(client, route, method, refs):
    path = route.path.replace("{ref}", refs[OF.get(route.name, "reservation")])
    return getattr(client, method)(path, {"action": "power_off"} if method == "post" else {})


@pytest.mark.parametrize("kind", ["session"])
def test_a_stranger_finds_nothing_and_changes_nothing(things, kind):  # noqa: F811 - the fixture
    client = stranger(kind).client
    client.get("/home/")
    before, faults = database(), []
    nobodys = {name: f"{ref[:4]}{'0' * 26}" for name, ref in things.items()}
    for route, method in WITH_REF:
        answer, unknown = (ask(client, route, method, refs) for refs in (things, nobodys))
        if answer.status_code != 404:
            faults.append(f"{method} {route.path} answers {answer.status_code}")
        if told(answer, things) != told(unknown, nobodys):
            faults.append(f"{method} {route.path} tells what is another's from what is not there")
        if database() != before:
            faults.append(f"{method} {route.path} changed the database")
            before = database()
    assert len(WITH_REF) > 10
    assert faults == []


def told(answer, refs):
    """The page, without the ref asked for and the marks that differ from one request to the next."""
    text = answer.content.decode()
    for ref in refs.values():
        text = text.replace(ref, "REF")
    return re.sub(r'(csrfmiddlewaretoken" value="|X-CSRFToken": "|request id[^0-9a-f]*)[\w-]+', r"\1", text)


def test_a_visitor_is_sent_to_the_log_in_wherever_it_is_not_public(things):  # noqa: F811 - the fixture
    before, faults = database(), []
    for route in ALL:
        if route.name in PUBLIC:
            continue
        for method in route.methods:
            answer = ask(Client(raise_request_exception=False), route, method, things)
            sent_away = answer.status_code == 302 and answer["Location"].startswith("/accounts/login/")
            if not (sent_away or answer.status_code in {401, 403, 405}):
                faults.append(f"{method} {route.path} answers {answer.status_code}")
            if database() != before:
                faults.append(f"{method} {route.path} changed the database")
                before = database()
    assert faults == []


def test_lists_show_ones_own_things_only(things):  # noqa: F811 - the fixture
    client = stranger("session").client
    for route in ALL:
        if "{" in route.path or "get" not in route.methods or route.name in PUBLIC:
            continue
        text = client.get(route.path).content.decode()
        for ref in set(things.values()):
            assert ref not in text, f"{route} shows {ref}"
