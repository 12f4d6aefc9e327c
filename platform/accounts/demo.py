"""People and a customer for the demonstration; never called on a real installation."""

from dataclasses import dataclass, field

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts import selectors
from accounts.legal import ensure_documents
from accounts.models import Membership, Tenant, User
from accounts.services import TenantFacts, sign_up_tenant
from common.clock import database_now

FACTS = TenantFacts(
    legal_name="Rossum Inference s.r.o.",
    address_line="Ostrov 1",
    postal_code="272 01",
    city="Kladno",
    country="CZ",
    vat_id="",
    billing_email="invoices@rossum.example",
)


@dataclass(frozen=True, kw_only=True)
class Logins:
    """Who may sign in; the caller draws the passwords and shows them once."""

    tenant_email: str
    tenant_password: str = field(repr=False)
    operator_email: str
    operator_password: str = field(repr=False)


def ensure(*, logins: Logins) -> Tenant:
    """A person with a confirmed address who owns a Czech business, and one of the operator's staff. Idempotent:

    who exists keeps their things and gets the password given here.
    """
    with transaction.atomic():
        ensure_documents()
        _person(email=logins.operator_email, password=logins.operator_password, staff=True)
        user = _person(email=logins.tenant_email, password=logins.tenant_password, staff=False)
        membership = Membership.objects.filter(user=user).select_related("tenant").order_by("pk").first()
        if membership is not None:
            return membership.tenant
        in_force = selectors.documents_in_force(on=database_now().date())
        return sign_up_tenant(user=user, facts=FACTS, accepted_document_ids=[item.pk for item in in_force])


def _person(*, email: str, password: str, staff: bool) -> User:
    user = User.objects.filter(email=email).first() or User(email=email)
    user.is_staff = user.is_superuser = staff
    user.is_active = True
    if user.pk is None or not user.check_password(password):
        user.set_password(password)
    user.save()
    EmailAddress.objects.update_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
    return user
