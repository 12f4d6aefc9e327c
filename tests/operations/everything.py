"""One tenant's whole story as rows, so that every page of the desk has something to show."""

from datetime import timedelta
from itertools import count

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils import timezone

from accounts.models import LegalAcceptance, LegalDocument, Tenant, User
from accounts.services import make_api_key
from billing import services as billing
from billing.models import Charge, Hold, Invoice, PaymentMethod, Price, PriceSnapshot
from billing.states import CardState
from common import outbox
from inventory.models import Node
from provisioning.jobs import create_job
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job, JobStep
from provisioning.states import JobKind, JobState
from reservations.models import Reservation
from tests.billing.world import CONDUCTOR, OPERATOR, eur, subject, use, utc
from tests.reservations import world

_numbers = count(1)


def tell_the_story() -> Reservation:
    """A tenant with members, keys and a card reserves, uses, is invoiced; its node was erased and checked."""
    number = next(_numbers)
    actor, key = world.make_buyer()
    tenant, user = Tenant.objects.get(pk=actor.tenant_id), User.objects.get(pk=actor.user_id)
    make_api_key(actor=actor, name=f"key {number}", scopes=["read"], expires_at=None)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "never shown"})
    document = LegalDocument.objects.first()
    LegalAcceptance.objects.create(tenant=tenant, document=document, user=user, accepted_at=timezone.now())
    reservation = world.buy(actor, key, name=f"training-{number}")
    node = reservation.allocations.get().node
    evidence(node, reservation_ref=reservation.ref)
    use(
        tenant, Price.objects.get(), from_at=utc(2026, 5, 1), until_at=utc(2026, 5, 1, 1),
        snapshot=reservation.price_snapshot, reservation_ref=reservation.ref, nodes=[subject()],
    )  # fmt: skip
    billing.draft_invoice(tenant_id=tenant.pk, reservation_ref=reservation.ref, at=utc(2026, 5, 1, 2), actor=CONDUCTOR)
    Hold.objects.create(
        tenant=tenant, reservation_ref=f"res_other{number}", amount=1, hourly_gross=1, placed_at=timezone.now(),
        renewed_at=timezone.now(),
    )  # fmt: skip
    billing.open_credit_line(tenant=tenant, limit=eur(100), actor=OPERATOR, reason="agreed")
    card = PaymentMethod.objects.create(
        tenant=tenant, state=CardState.ACTIVE, gateway="stripe", created_by_ref=user.ref, last4="4242"
    )
    Charge.objects.create(
        tenant=tenant, purpose=Charge.Purpose.TOP_UP, method=card, amount=10, idempotency_key=f"k{number}",
        requested_by_ref=user.ref, requested_at=timezone.now(),
    )  # fmt: skip
    with transaction.atomic():
        outbox.publish(kind="test.news", aggregate=reservation.ref, payload={}, occurred_at=timezone.now())
    return reservation


def evidence(node: Node, *, reservation_ref: str = "") -> Job:
    """A failed cleaning of the node with its steps, an erase and a health record, and an open finding."""
    job = job_of(node, kind=JobKind.CLEAN, state=JobState.FAILED, reservation_ref=reservation_ref)
    now = timezone.now()
    EraseRecord.objects.create(
        node=node, job=job, reservation_ref=reservation_ref, drive_serial=f"D{job.pk}", size_bytes=1,
        method=EraseRecord.Method.OVERWRITE, standard="s", samples_checked=1, markers_planted=1, started_at=now,
        finished_at=now, duration_s=1, done_by="worker",
    )  # fmt: skip
    record = HealthRecord.objects.create(
        node=node, job=job, reservation_ref=reservation_ref, phase=HealthRecord.Phase.CLEANING, passed=False,
        gpu_count=8,
    )  # fmt: skip
    HealthFinding.objects.create(
        node=node, record=record, kind=HealthFinding.Kind.ECC, severity=HealthFinding.Severity.CRITICAL,
        bars_allocation=True, part=f"GPU {job.pk}",
    )  # fmt: skip
    return job


def job_of(node: Node, *, kind: str, state: str = JobState.READY, reservation_ref: str = "", **values: object) -> Job:
    """A job in some state; a row of the past is written as it would stand, because nothing has to be done for it."""
    with transaction.atomic():
        job = create_job(
            kind=kind, node=node, actor=OPERATOR, reservation_ref=reservation_ref, is_queued=state != JobState.READY
        )
    job.is_queued = False
    job.state = state
    if state == JobState.FAILED:
        job.failure_code, job.failure_reason, job.failure_fault = "erase-failed", "drive D1 is frozen", "hardware"
        job.started_at, job.finished_at = timezone.now() - timedelta(minutes=3), timezone.now()
        JobStep.objects.filter(job=job, position=0).update(
            started_at=job.started_at, finished_at=job.finished_at, status="failed", detail={"drives": ["D1"]}
        )
    for name, value in values.items():
        setattr(job, name, value)
    job.save()
    return job


def draft() -> Invoice:
    return Invoice.objects.filter(state="draft").latest("pk")


def later_price() -> Price:
    """A price of another kind of node, that nothing was promised from."""
    return world.make_price(site=Node.objects.first().site, node_type=world.make_type(code=f"b300-{next(_numbers)}"))


def snapshot() -> PriceSnapshot:
    return PriceSnapshot.objects.latest("pk")
