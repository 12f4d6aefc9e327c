"""What wants the operator's eye, each as one queryset: the overview counts it, the lists filter by it.

Tables that grow for years are looked at from their newest rows back, so that a look stays quick.
"""

from datetime import timedelta

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from billing.models import Invoice
from billing.states import InvoiceState
from common.models import OutboxEvent
from compliance.audit.models import AuditEvent
from provisioning.models import HealthFinding, Job
from provisioning.states import LIVE, JobState
from reservations.models import Reservation
from reservations.states import ReservationState

RECENT = timedelta(hours=24)
NEWEST_JOBS = 20_000
UNTAKEN = timedelta(seconds=60)
"""A job whose turn came this long ago and that no worker has taken: no worker listens to its site's queue."""
UNSEALED = timedelta(seconds=60)


def failed_jobs() -> QuerySet[Job]:
    """Failed in the last day."""
    newest = Job.objects.aggregate(newest=Max("pk"))["newest"] or 0
    since = timezone.now() - RECENT
    return Job.objects.filter(pk__gt=newest - NEWEST_JOBS, state=JobState.FAILED, finished_at__gte=since)


def overdue_jobs() -> QuerySet[Job]:
    """Past the deadline of their step, or due for a minute without a worker."""
    now = timezone.now()
    late = Q(deadline_at__lt=now) | Q(state__in=(JobState.READY, JobState.WAITING), run_at__lt=now - UNTAKEN)
    return Job.objects.filter(late, state__in=LIVE, is_queued=False)


def failed_reservations() -> QuerySet[Reservation]:
    """Failed in the last day."""
    return Reservation.objects.filter(state=ReservationState.FAILED, state_changed_at__gte=timezone.now() - RECENT)


def open_findings() -> QuerySet[HealthFinding]:
    return HealthFinding.objects.filter(resolved_at=None)


def drafts() -> QuerySet[Invoice]:
    return Invoice.objects.filter(state=InvoiceState.DRAFT)


def overdue_invoices() -> QuerySet[Invoice]:
    return Invoice.objects.filter(state=InvoiceState.OVERDUE)


def waiting_news() -> QuerySet[OutboxEvent]:
    return OutboxEvent.objects.filter(dispatched_at=None)


def failing_news() -> QuerySet[OutboxEvent]:
    """Tried and refused by a handler at least once, not through yet."""
    return waiting_news().filter(attempts__gt=0)


def unsealed_events() -> QuerySet[AuditEvent]:
    """Without a place in their log for more than a minute."""
    return AuditEvent.objects.filter(index=None, occurred_at__lt=timezone.now() - UNSEALED)
