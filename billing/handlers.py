"""News from other rooms."""

from decimal import Decimal

from django.conf import settings

from accounts.models import Tenant
from billing.services import grant_credit
from common.actors import system_actor
from common.money import Money
from common.outbox import Event


def on_tenant_created(event: Event) -> None:
    """Where no cards can be charged, a new tenant tries the product on demonstration credit, named as such."""
    amount = Decimal(settings.CHAPEK_DEMO_CREDIT_EUR)
    if amount > 0 and not settings.CHAPEK_STRIPE_KEY:
        grant_credit(
            tenant=Tenant.objects.get(pk=event.payload["tenant_id"]),
            amount=Money(amount),
            reason="Demonstration credit",
            actor=system_actor(name="demonstration"),
        )
