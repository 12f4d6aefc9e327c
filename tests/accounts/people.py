"""Persons, tenants and actors for tests; made by the room's own services."""

from itertools import count

from allauth.account.models import EmailAddress

from accounts import selectors
from accounts.middleware import user_actor
from accounts.models import Membership, User
from accounts.services import TenantFacts, sign_up_tenant
from common.clock import database_now

_numbers = count(1)
PASSWORD = "correct horse battery staple"
FACTS = TenantFacts(
    legal_name="Rossum's Universal Robots a.s.",
    address_line="Ostrov 1",
    postal_code="272 01",
    city="Kladno",
    country="CZ",
    billing_email="invoices@rur.example",
)
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8GmO9JnjaWjUU1JVSpZ06e9J5Jk7vGIGJuOi7n0WqK"


def documents():
    return [item.pk for item in selectors.documents_in_force(on=database_now().date())]


def make_user(*, confirmed=True, email=None):
    user = User.objects.create_user(email or f"person{next(_numbers)}@rur.example", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, verified=confirmed, primary=True)
    return user


def make_tenant(*, user=None, **facts):
    """(tenant, owner's user, owner's actor)"""
    user = user or make_user()
    tenant = sign_up_tenant(
        user=user, facts=TenantFacts(**{**vars(FACTS), **facts}), accepted_document_ids=documents(), request_id="req-1"
    )
    return tenant, user, actor_of(user, tenant)


def actor_of(user, tenant):
    membership = Membership.objects.get(user=user, tenant=tenant)
    return user_actor(user=user, membership=membership, request_id="req-1")


def make_member(tenant, role):
    """(user, actor) of somebody with this role."""
    user = make_user()
    Membership.objects.create(tenant=tenant, user=user, role=role)
    return user, actor_of(user, tenant)
