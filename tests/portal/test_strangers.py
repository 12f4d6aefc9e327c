"""One test per route that names a thing: a stranger is told that there is none, and nothing is changed (I5)."""

import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.models import ApiKey, Invitation, SshKey, Tenant
from accounts.services import invite, make_api_key
from billing import services as billing
from billing.models import Charge, Invoice, PaymentMethod, Price
from common.clock import database_now
from compliance.audit.models import AuditEvent
from portal import urls
from provisioning.models import Job
from reservations.models import Allocation, Quote, Reservation
from tests.billing.world import use, utc

NAMED = [route for route in urls.urlpatterns if "ref" in route.pattern.converters]
OPEN = {"front", "stock", "legal", "theme", "favicon", "mail", "letter", "styleguide"}
CLOSED = [route for route in urls.urlpatterns if route.name not in OPEN]
WATCHED = (AuditEvent, Invitation, Reservation, Allocation, Quote, SshKey, ApiKey, Invoice, PaymentMethod, Charge, Job)


def address(route: URLPattern, ref: str = "") -> str:
    secret = {"token": "x" * 43} if "token" in route.pattern.converters else {}
    return reverse(f"portal:{route.name}", kwargs={"ref": ref} if ref else secret)


def picture() -> dict[str, list[tuple[object, ...]]]:
    """Every row of what a tenant could touch."""
    return {model.__name__: list(model.objects.order_by("pk").values_list()) for model in WATCHED}


@pytest.fixture
def things(owner, active) -> dict[str, str]:
    """What the owner has, by the beginning of the routes about it."""
    api_key = make_api_key(actor=owner.actor, name="ci", scopes=["read"], expires_at=None).key
    tenant = Tenant.objects.get(pk=owner.actor.tenant_id)
    earlier = use(tenant, Price.objects.first(), from_at=utc(2026, 1, 1, 8), until_at=utc(2026, 1, 1, 9))
    invoice = billing.draft_invoice(tenant_id=tenant.pk, reservation_ref=earlier, at=database_now(), actor=owner.actor)
    card = PaymentMethod.objects.create(tenant=tenant, gateway="stripe", state="active", last4="4242")
    mailed = invite(actor=owner.actor, email="grace@tenant.example", role="engineer")
    return {
        "team/invitations/": mailed.invitation.ref,
        "reservations/": active.ref,
        "keys/ssh/": owner.key.ref,
        "keys/api/": api_key.ref,
        "billing/invoices/": invoice.ref,
        "billing/cards/": card.ref,
    }


def thing_of(route: URLPattern, things: dict[str, str]) -> str:
    return next(ref for start, ref in things.items() if str(route.pattern).startswith(start))


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("route", NAMED, ids=lambda route: route.name)
def test_a_stranger_learns_nothing_and_changes_nothing(route, method, things, stranger) -> None:
    ref = thing_of(route, things)
    before = picture()
    forms = {"end": "open", "action": "power_off", "act": "release"}
    answer = getattr(stranger.client, method)(address(route, ref), forms if method == "post" else {})
    assert answer.status_code in ({404} if method == "get" else {404, 405})
    assert ref not in answer.content.decode().replace(address(route, ref), "")
    assert picture() == before


@pytest.mark.parametrize("route", NAMED, ids=lambda route: route.name)
def test_the_owner_reaches_the_same_address(route, things, owner) -> None:
    answer = owner.client.get(address(route, thing_of(route, things)))
    # The log's newest events may not be sealed yet; that is said, and is no refusal of the address.
    assert answer.status_code in {200, 302, 409, 503}


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: route.name)
def test_a_visitor_is_sent_to_the_log_in(route, things) -> None:
    where = address(route, thing_of(route, things)) if route in NAMED else address(route)
    before = picture()
    for answer in (Client().get(where), Client().post(where)):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=")
    assert picture() == before


def test_every_route_is_either_open_on_purpose_or_behind_the_log_in() -> None:
    names = {route.name for route in urls.urlpatterns}
    assert names >= OPEN
    assert len(CLOSED) == len(names) - len(OPEN)


def test_a_forged_request_is_refused_before_anything_happens(active, owner) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.cookies = owner.client.cookies
    before = picture()
    answer = forger.post(reverse("portal:release", kwargs={"ref": active.ref}))
    assert answer.status_code == 403
    assert "Please send that again" in answer.content.decode()
    assert picture() == before


def test_no_page_reaches_rows_past_the_tenant_filter() -> None:
    """Pages read through selectors, which ask for whom; a manager of a model would show every tenant's rows."""
    for path in Path(urls.__file__).parent.rglob("*.py"):
        assert not re.search(r"\.(_default_manager|_base_manager|objects)\b", path.read_text()), path
