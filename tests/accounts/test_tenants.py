"""Signing up, changing facts, standing."""

import pytest

from accounts import selectors, services
from accounts.countries import COUNTRIES, EU
from accounts.errors import BadVatId, DocumentsNotAccepted, EmailNotConfirmed, LimitReached, TenantSuspended
from accounts.models import LegalAcceptance, LegalDocument, Membership, Project, Tenant
from accounts.permissions import require
from accounts.roles import Permission, Role
from accounts.services import tenants
from accounts.states import TenantState
from accounts.vat import check_vat_id
from common.actors import Actor, ActorKind
from common.errors import InvalidRequest
from common.models import OutboxEvent
from common.state_machine import IllegalTransition
from compliance.audit.models import AuditEvent
from tests.accounts import people

OPERATOR = Actor(kind=ActorKind.STAFF, ref="usr_operator", role="staff")


def kinds(tenant):
    return list(AuditEvent.objects.filter(log_tenant_id=tenant.pk).order_by("pk").values_list("kind", flat=True))


def test_signing_up_makes_owner_project_acceptances_events_and_news(tenant):
    made, user, _actor = tenant
    assert (made.state, made.vat_id_state) == (TenantState.ACTIVE, Tenant.VatIdState.NONE)
    assert Membership.objects.get(tenant=made).role == Role.OWNER
    assert Project.objects.get(tenant=made).is_default
    accepted = LegalAcceptance.objects.filter(tenant=made).select_related("document")
    assert sorted(row.document.kind for row in accepted) == ["acceptable_use", "data_processing", "terms"]
    assert {row.user_id for row in accepted} == {user.pk}
    assert kinds(made) == ["tenant.created", *["tenant.document_accepted"] * 3]
    assert {event.request_id for event in AuditEvent.objects.all()} == {"req-1"}
    news = OutboxEvent.objects.get(kind="tenant.created")
    assert news.payload == {"tenant_id": made.pk, "tenant_ref": made.ref}


def test_a_vat_id_given_is_unverified_and_its_form_is_checked(db):
    made, *_rest = people.make_tenant(vat_id="cz 251 238 91")
    assert (made.vat_id, made.vat_id_state) == ("CZ25123891", Tenant.VatIdState.UNVERIFIED)
    with pytest.raises(BadVatId):
        people.make_tenant(vat_id="CZ25123892")


@pytest.mark.parametrize(
    ("country", "text", "expected"),
    [
        ("CZ", "", ""),
        ("CZ", "25123891", "CZ25123891"),
        ("CZ", "CZ 25 12 38 91", "CZ25123891"),
        ("GR", "094259216", "EL094259216"),
        ("GR", "GR094259216", "EL094259216"),
        ("HU", "HU12892312", "HU12892312"),
        ("GB", "GB 980 7806 84", "980780684"),
        ("US", "12-3456789", "12-3456789"),
    ],
)
def test_vat_ids_take_the_form_that_documents_show(country, text, expected):
    assert check_vat_id(country=country, text=text) == expected


@pytest.mark.parametrize(
    ("country", "text"),
    [("CZ", "DE136695976"), ("DE", "DE136695977"), ("GB", "GB980780685"), ("US", "12;34"), ("US", "1")],
)
def test_vat_ids_of_another_country_or_with_wrong_digits_are_refused(country, text):
    with pytest.raises(BadVatId):
        check_vat_id(country=country, text=text)


def test_the_union_is_part_of_the_world():
    assert set(COUNTRIES) > EU
    assert len(EU) == 27


@pytest.mark.parametrize("field", ["legal_name", "address_line", "postal_code", "city", "billing_email", "country"])
def test_what_an_invoice_needs_must_be_given(db, field):
    with pytest.raises(InvalidRequest) as caught:
        people.make_tenant(**{field: "  "})
    assert caught.value.context["field"] == field
    assert not Tenant.objects.exists()


def test_lengths_are_those_of_the_columns():
    assert {name: Tenant._meta.get_field(name).max_length for name in tenants._LONGEST} == tenants._LONGEST


def test_a_country_must_exist_and_an_address_must_be_one(db):
    for facts in ({"country": "ZZ"}, {"billing_email": "nobody"}, {"legal_name": "x" * 201}):
        with pytest.raises(InvalidRequest):
            people.make_tenant(**facts)


@pytest.mark.parametrize("kind", LegalDocument.Kind.values)
def test_all_three_documents_must_be_accepted_or_nothing_is_made(db, kind):
    accepted = LegalDocument.objects.exclude(kind=kind).values_list("pk", flat=True)
    with pytest.raises(DocumentsNotAccepted):
        services.sign_up_tenant(user=people.make_user(), facts=people.FACTS, accepted_document_ids=set(accepted))
    assert not Tenant.objects.exists()
    assert not AuditEvent.objects.exists()


def test_an_unconfirmed_address_founds_nothing(db):
    with pytest.raises(EmailNotConfirmed):
        people.make_tenant(user=people.make_user(confirmed=False))


def test_one_person_founds_five_organisations_at_most(db):
    user = people.make_user()
    for _number in range(5):
        people.make_tenant(user=user)
    with pytest.raises(LimitReached):
        people.make_tenant(user=user)
    assert Tenant.objects.count() == 5


def test_a_newer_document_must_be_accepted_and_the_acceptance_is_logged_once(tenant):
    made, _user, owner = tenant
    assert selectors.documents_to_accept(actor=owner) == []
    newer = LegalDocument.objects.create(
        kind="terms", version="2", text="new", text_sha256="0" * 64, in_force_from="2026-11-02"
    )
    assert selectors.documents_to_accept(actor=owner) == [newer]
    with pytest.raises(DocumentsNotAccepted):
        services.accept_documents(actor=owner, document_ids=[])
    for _twice in range(2):
        services.accept_documents(actor=owner, document_ids=people.documents())
    assert selectors.documents_to_accept(actor=owner) == []
    assert kinds(made).count("tenant.document_accepted") == 4


def test_changed_facts_are_logged_by_name_and_unverify_the_vat_id(tenant):
    made, _user, owner = tenant
    Tenant.objects.filter(pk=made.pk).update(vat_id="CZ25123891", vat_id_state=Tenant.VatIdState.VERIFIED)
    facts = services.TenantFacts(**{**vars(people.FACTS), "vat_id": "CZ25123891", "city": "Praha"})
    assert services.update_tenant_facts(actor=owner, facts=facts).vat_id_state == Tenant.VatIdState.VERIFIED
    moved = services.TenantFacts(**{**vars(facts), "country": "PL", "vat_id": "PL8567346215"})
    assert services.update_tenant_facts(actor=owner, facts=moved).vat_id_state == Tenant.VatIdState.UNVERIFIED
    services.update_tenant_facts(actor=owner, facts=moved)
    events = AuditEvent.objects.filter(kind="tenant.facts_changed").order_by("pk")
    assert [event.details["fields"] for event in events] == [["city"], ["country", "vat_id"]]


def test_a_suspension_needs_a_reason_stops_new_starts_and_is_lifted_by_reinstating(tenant):
    made, _user, owner = tenant
    with pytest.raises(InvalidRequest):
        services.suspend_tenant(tenant=made, reason=" ", actor=OPERATOR)
    services.suspend_tenant(tenant=made, reason="sanctions list", actor=OPERATOR)
    made.refresh_from_db()
    assert (made.state, made.suspension_reason) == (TenantState.SUSPENDED, "sanctions list")
    for permission in (Permission.VIEW, Permission.PAY, Permission.VIEW_AUDIT):
        require(owner, permission)
    require(owner, Permission.RESERVE, even_suspended=True)
    for permission in (Permission.RESERVE, Permission.MANAGE_API_KEYS):
        with pytest.raises(TenantSuspended):
            require(owner, permission)
    with pytest.raises(IllegalTransition):
        services.suspend_tenant(tenant=made, reason="again", actor=OPERATOR)
    services.reinstate_tenant(tenant=made, reason="cleared", actor=OPERATOR)
    made.refresh_from_db()
    assert (made.state, made.suspension_reason) == (TenantState.ACTIVE, "")
    require(owner, Permission.RESERVE)
    suspended, reinstated = AuditEvent.objects.filter(kind__in=["tenant.suspend", "tenant.reinstate"]).order_by("pk")
    assert (suspended.details["reason"], suspended.actor_ref) == ("sanctions list", "usr_operator")
    assert (reinstated.details["from"], reinstated.details["to"]) == ("suspended", "active")


def test_a_screening_note_stays_in_the_platforms_log(tenant):
    made, *_rest = tenant
    services.screen_tenant(tenant=made, note="register checked", actor=OPERATOR)
    assert AuditEvent.objects.get(kind="tenant.screened").log_tenant_id is None
