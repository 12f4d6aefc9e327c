"""Wake-ups: load, read the clock and the settings, one call."""

from celery import shared_task

from billing import services
from billing.gateway import card_credit_limit, gateway_from_settings
from common.actors import system_actor
from common.clock import database_now

CLOCK = system_actor(name="billing-clock")


@shared_task(name="billing.renew_holds", queue="control", ignore_result=True)
def renew_holds() -> None:
    services.renew_holds(at=database_now())


@shared_task(name="billing.mark_overdue", queue="control", ignore_result=True)
def mark_overdue() -> None:
    services.mark_overdue(at=database_now(), actor=CLOCK)


@shared_task(name="billing.run_charge", queue="control", ignore_result=True)
def run_charge(*, charge_ref: str) -> None:
    services.run_charge(charge_ref=charge_ref, gateway=gateway_from_settings())


@shared_task(name="billing.process_webhook", queue="control", ignore_result=True)
def process_webhook(*, event_id: int) -> None:
    services.process_webhook(event_id=event_id, gateway=gateway_from_settings(), credit_limit=card_credit_limit())


@shared_task(name="billing.reconcile_payments", queue="control", ignore_result=True)
def reconcile_payments() -> None:
    """Charges never answered and news never processed."""
    gateway = gateway_from_settings()
    if gateway.is_configured:
        services.send_due_charges(at=database_now(), gateway=gateway)
        services.process_webhooks(at=database_now(), gateway=gateway, credit_limit=card_credit_limit())
