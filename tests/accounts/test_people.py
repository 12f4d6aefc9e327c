"""The middleware, the log-in, the forms and the demonstration."""

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.test import RequestFactory

from accounts import demo, services
from accounts.adapter import AccountAdapter
from accounts.forms import ApiKeyForm, TenantForm
from accounts.legal import PUBLISHED, ensure_documents
from accounts.mfa import forget_secrets
from accounts.middleware import TENANT_IN_SESSION, ActorMiddleware, choose_tenant
from accounts.models import LegalDocument, Membership, MfaSecret, Tenant, User
from accounts.roles import Role
from common.actors import ActorKind
from tests.accounts import people


@pytest.fixture
def seen():
    """Runs the middleware for a user's request and gives what it put on it."""

    def look(user, *, path="/home/", session=None):
        request = RequestFactory().get(path)
        request.COOKIES["sessionid"] = "x"
        request.user, request.session = user, session if session is not None else SessionStore()
        request.META["chapek.request_id"] = "req-7"
        ActorMiddleware(lambda request: request)(request)
        return request

    return look


def test_a_member_acts_for_their_tenant_with_their_role(seen, tenant):
    made, user, _actor = tenant
    actor = seen(user).actor
    assert (actor.kind, actor.ref, actor.tenant_id, actor.role) == (ActorKind.USER, user.ref, made.pk, Role.OWNER)
    assert (actor.user_id, actor.request_id) == (user.pk, "req-7")


def test_who_has_several_tenants_acts_for_the_one_in_the_session_and_only_for_their_own(seen, tenant):
    first, user, _actor = tenant
    second, *_rest = people.make_tenant(user=user)
    foreign, *_rest = people.make_tenant()
    assert seen(user).actor.tenant_id == first.pk
    request = seen(user)
    assert choose_tenant(request=request, tenant_ref=second.ref)
    assert seen(user, session=request.session).actor.tenant_id == second.pk
    assert not choose_tenant(request=request, tenant_ref=foreign.ref)
    assert seen(user, session={TENANT_IN_SESSION: foreign.ref}).actor.tenant_id == first.pk


def test_who_has_no_tenant_acts_for_none_and_the_inactive_not_at_all(seen, db):
    user = people.make_user()
    assert seen(user).actor.tenant_id is None
    user.is_active = False
    assert seen(user).actor is None


def test_staff_are_staff_in_the_admin_and_members_elsewhere(seen, tenant):
    _made, user, _actor = tenant
    user.is_staff = True
    assert seen(user, path="/admin/").actor.kind is ActorKind.STAFF
    assert seen(user).actor.kind is ActorKind.USER
    Membership.objects.filter(user=user).delete()
    assert seen(user).actor.kind is ActorKind.STAFF


def test_a_visitor_costs_no_query(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert client.get("/healthz").content == b"ok\n"


def test_redirects_stay_at_home(settings):
    settings.CHAPEK_PUBLIC_URL = "https://cloud.example"
    adapter = AccountAdapter()
    assert adapter.is_safe_url("/home/")
    assert adapter.is_safe_url("https://cloud.example/home/")
    for url in (
        "https://evil.example/",
        "//evil.example/",
        "http://cloud.example/",
        "javascript:alert(1)",
        "https:///x",
    ):
        assert not adapter.is_safe_url(url)


def test_signing_up_needs_the_link_in_the_mail(client, db):
    fields = {"email": "Alquist@RUR.example", "password1": people.PASSWORD, "password2": people.PASSWORD}
    client.post("/accounts/signup/", fields)
    user = User.objects.get()
    assert user.email == "alquist@rur.example"
    assert not EmailAddress.objects.get().verified
    login = {"login": "alquist@rur.example", "password": people.PASSWORD}
    client.post("/accounts/login/", login)
    assert "_auth_user_id" not in client.session
    link = re.search(r"https?://[^/]+(/accounts/confirm-email/[^/\s]+/)", mail.outbox[0].body)[1]
    client.get(link)
    assert not EmailAddress.objects.get().verified, "opening the link alone confirms nothing: scanners open links"
    client.post(link)
    assert EmailAddress.objects.get().verified
    client.post("/accounts/login/", login)
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_second_factor_is_asked_for_and_its_secret_is_sealed(client, db):
    user = people.make_user()
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    (stored,) = Authenticator.objects.values_list("data", flat=True)
    assert secret not in str(stored)
    assert secret.encode() not in bytes(MfaSecret.objects.get().sealed)
    client.post("/accounts/login/", {"login": user.email, "password": people.PASSWORD})
    assert "_auth_user_id" not in client.session
    counter = next(iter(totp.yield_hotp_counters_from_time()))
    code = totp.format_hotp_value(totp.hotp_value(secret, counter))
    client.post("/accounts/2fa/authenticate/", {"code": "000000" if code != "000000" else "000001"})
    assert "_auth_user_id" not in client.session
    client.post("/accounts/2fa/authenticate/", {"code": code})
    assert client.session["_auth_user_id"] == str(user.pk)
    forget_secrets(authenticator=Authenticator.objects.get())
    assert not MfaSecret.objects.exists()


def test_a_known_address_is_not_given_away(client, db):
    people.make_user(email="known@rur.example")
    answers = [
        client.post("/accounts/signup/", {"email": email, "password1": people.PASSWORD, "password2": people.PASSWORD})
        for email in ("known@rur.example", "fresh@rur.example")
    ]
    assert answers[0].status_code == answers[1].status_code == 302
    assert answers[0]["Location"] == answers[1]["Location"]


def form(**changes):
    data = {**vars(people.FACTS), "is_business": "on"}
    for item in LegalDocument.objects.all():
        data |= {f"accept_{item.kind}": "on", f"shown_{item.kind}": item.pk}
    return TenantForm({**data, **changes})


def test_the_organisation_form_hands_facts_and_documents_to_the_service(db):
    filled = form(vat_id="CZ25123891")
    assert filled.is_valid(), filled.errors
    services.sign_up_tenant(
        user=people.make_user(), facts=filled.facts(), accepted_document_ids=filled.accepted_document_ids()
    )
    assert Tenant.objects.get().vat_id == "CZ25123891"


@pytest.mark.parametrize(
    ("field", "value"), [("vat_id", "CZ1"), ("legal_name", ""), ("country", "ZZ"), ("accept_terms", "")]
)
def test_the_organisation_form_says_what_is_wrong_beside_the_field(db, field, value):
    assert field in form(**{field: value}).errors


def test_a_document_that_changed_while_the_page_was_open_must_be_read_again(db):
    sent = form()
    LegalDocument.objects.create(kind="terms", version="2", text="n", text_sha256="0" * 64, in_force_from="2026-11-02")
    late = TenantForm(sent.data)
    assert not late.is_valid()
    assert list(late.errors) == ["accept_terms"]


def test_the_api_key_form_ends_a_key_with_its_day(db):
    filled = ApiKeyForm({"name": "ci", "scopes": ["read", "write"], "expires_on": "2027-01-31"})
    assert filled.is_valid()
    assert filled.expires_at().isoformat() == "2027-01-31T23:59:59+00:00"


def test_published_texts_are_seeded_and_a_stored_text_wins_over_a_changed_file(db):
    assert LegalDocument.objects.count() == len(PUBLISHED) == 3
    LegalDocument.objects.filter(kind="terms").update(text="as accepted", text_sha256="1" * 64)
    ensure_documents()
    assert LegalDocument.objects.get(kind="terms").text == "as accepted"


def test_the_demonstration_is_made_once_and_takes_new_passwords(db, client):
    def logins(word):
        return demo.Logins(
            tenant_email="tenant@chapek.example",
            tenant_password=f"{word}-tenant-pass",
            operator_email="operator@chapek.example",
            operator_password=f"{word}-operator-pass",
        )

    first = demo.ensure(logins=logins("one"))
    assert demo.ensure(logins=logins("two")) == first
    assert (Tenant.objects.count(), User.objects.count()) == (1, 2)
    assert client.login(username="tenant@chapek.example", password="two-tenant-pass")
    assert User.objects.get(is_superuser=True).check_password("two-operator-pass")
    assert "pass" not in repr(logins("one"))
