"""News from the card processor: stored once, then looked up. The event only says where to look, so order is nothing."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F

from billing.errors import GatewayUnavailable
from billing.gateway import PaymentGateway, WebhookFacts
from billing.models import Charge, PaymentMethod, WebhookEvent
from billing.services.cards import refresh_card
from billing.services.charging import apply_payment
from common.actors import system_actor
from common.clock import database_now
from common.errors import DomainError
from common.money import Money

log = structlog.get_logger(__name__)
PROCESSOR = system_actor(name="card-processor")
MAX_ATTEMPTS = 12
LONGEST_PAUSE_S = 3600


def receive_webhook(*, gateway_name: str, facts: WebhookFacts) -> bool:
    """Keep a verified event; False when it came before or is of no interest. It is processed after commit."""
    if not facts.object_kind:
        return False
    with transaction.atomic():
        event, is_new = WebhookEvent.objects.get_or_create(
            gateway=gateway_name,
            event_ref=facts.event_ref,
            defaults={
                "kind": facts.kind,
                "object_ref": facts.object_ref,
                "next_attempt_at": database_now(),
            },
        )
        if is_new:
            transaction.on_commit(lambda: _wake(event.pk), robust=True)
    return is_new


def process_webhook(*, event_id: int, gateway: PaymentGateway, credit_limit: Money) -> bool:
    """Fetch what the event is about and apply it. Not inside a transaction; safe to repeat. True when done."""
    event = WebhookEvent.objects.filter(pk=event_id, processed_at=None).first()
    if event is None:
        return True
    now = database_now()
    pause_s = min(2 ** (event.attempts + 1), LONGEST_PAUSE_S)
    WebhookEvent.objects.filter(pk=event.pk).update(
        attempts=F("attempts") + 1, next_attempt_at=now + timedelta(seconds=pause_s)
    )
    try:
        _apply(event, gateway=gateway, credit_limit=credit_limit)
    except GatewayUnavailable as error:
        WebhookEvent.objects.filter(pk=event.pk).update(last_error=str(error)[:300])
        return False
    except DomainError as error:  # a thing we do not know, or of another installation: kept, and not tried for ever
        log.warning("webhook without a subject", kind=event.kind, event=event.event_ref, error=error.code)
        WebhookEvent.objects.filter(pk=event.pk).update(last_error=str(error)[:300])
    WebhookEvent.objects.filter(pk=event.pk).update(processed_at=database_now())
    return True


def process_webhooks(*, at: datetime, gateway: PaymentGateway, credit_limit: Money, limit: int = 100) -> int:
    """Process what a lost message or a failed try left behind. Returns how many were tried."""
    due = WebhookEvent.objects.filter(processed_at=None, next_attempt_at__lte=at, attempts__lt=MAX_ATTEMPTS)
    ids = list(due.order_by("next_attempt_at").values_list("pk", flat=True)[:limit])
    for event_id in ids:
        process_webhook(event_id=event_id, gateway=gateway, credit_limit=credit_limit)
    return len(ids)


def _apply(event: WebhookEvent, *, gateway: PaymentGateway, credit_limit: Money) -> None:
    if event.kind.startswith("payment_intent."):
        facts = gateway.payment(payment_ref=event.object_ref)
        if facts.charge_ref and Charge.objects.filter(ref=facts.charge_ref).exists():
            apply_payment(charge_ref=facts.charge_ref, facts=facts)
    elif PaymentMethod.objects.filter(setup_ref=event.object_ref).exists():
        refresh_card(setup_ref=event.object_ref, gateway=gateway, credit_limit=credit_limit, actor=PROCESSOR)


def _wake(event_id: int) -> None:
    """Losing this call costs at most a minute: beat looks for what is left."""
    from billing.tasks import process_webhook as task

    task.apply_async(kwargs={"event_id": event_id}, retry=False)
