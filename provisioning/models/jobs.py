from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common import vault
from common.ids import new_ref
from inventory.models import Image, Node
from provisioning.states import LIVE, JobKind, JobState, StepState

USER_DATA = vault.register_column(
    model="provisioning.Job", field="user_data_sealed", context="provisioning.job.user_data"
)
PRIVATE_KEY = vault.register_column(
    model="provisioning.Job", field="private_key_sealed", context="provisioning.job.private_key"
)


def job_ref() -> str:
    return new_ref("job")


class Job(models.Model):
    """Work on one node, done step by step by whichever worker holds the lease.

    ``tenant_id`` and ``reservation_ref`` are plain values: the job belongs to the node, and names for whom it is done.
    ``fencing_token`` grows with every lease and with every cancellation; a result counts only under the present one.
    ``is_queued`` marks a deployment that waits until the node's present job has made it available.
    """

    ref = models.CharField(max_length=40, unique=True, default=job_ref, editable=False)
    kind = models.CharField(max_length=8, choices=JobKind)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="jobs")
    tenant_id = models.BigIntegerField(null=True, blank=True)
    reservation_ref = models.CharField(max_length=40, blank=True, default="", db_index=True)
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    parameters = models.JSONField(default=dict, help_text=_("Plain facts, never a secret"))
    user_data_sealed = models.BinaryField(null=True, blank=True)
    private_key_sealed = models.BinaryField(null=True, blank=True)
    requested_by = models.CharField(max_length=60, blank=True, default="")

    state = models.CharField(max_length=9, choices=JobState, default=JobState.READY)
    state_changed_at = models.DateTimeField(db_default=Now())
    is_queued = models.BooleanField(default=False)
    lease_owner = models.CharField(max_length=80, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    fencing_token = models.BigIntegerField(default=0)
    run_at = models.DateTimeField(db_default=Now())
    nudges = models.PositiveIntegerField(default=0, help_text=_("News from the node since the job began"))

    position = models.PositiveSmallIntegerField(default=0, help_text=_("Which step is next or under way"))
    attempts = models.PositiveSmallIntegerField(default=0, help_text=_("Of the present step"))
    deadline_at = models.DateTimeField(null=True, blank=True, help_text=_("Of the present step"))
    failure_code = models.CharField(max_length=60, blank=True, default="")
    failure_reason = models.TextField(blank=True, default="")
    failure_fault = models.CharField(max_length=10, blank=True, default="")
    image_token_sha256 = models.CharField(max_length=64, blank=True, default="", db_index=True)
    image_token_expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["node"], condition=Q(state__in=LIVE, is_queued=False), name="one_live_job_per_node"
            ),
            models.UniqueConstraint(
                fields=["node", "reservation_ref"],
                condition=Q(state__in=LIVE, kind=JobKind.DEPLOY),
                name="one_live_deployment_per_reservation",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.LEASED) | Q(lease_expires_at__isnull=False), name="leased_has_expiry"
            ),
        ]
        indexes = [
            models.Index(F("run_at"), name="job_due", condition=Q(state__in=LIVE, is_queued=False)),
            models.Index(fields=["node", "-created_at"], name="job_by_node"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"

    @property
    def audit_tenant_id(self) -> int | None:
        return self.tenant_id

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    def user_data(self) -> str:
        """The tenant's user data in clear; empty when none was given."""
        return (
            ""
            if self.user_data_sealed is None
            else vault.unseal(bytes(self.user_data_sealed), context=USER_DATA).decode()
        )

    def private_key(self) -> str:
        """The one-time deployment key in clear, as OpenSSH PEM."""
        assert self.private_key_sealed is not None  # noqa: S101 - every deployment is born with one
        return vault.unseal(bytes(self.private_key_sealed), context=PRIVATE_KEY).decode()

    def facts(self) -> dict[str, Any]:
        """What an audit event about this job says besides its state."""
        return {"kind": self.kind, "node": self.node.ref, "reservation": self.reservation_ref}


class JobStep(models.Model):
    """One step of a job as it is shown and measured; the job's state is what counts and is audited.

    ``detail`` is plain and never secret.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=40)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=8, choices=StepState, default=StepState.PENDING)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["job_id", "position"]
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="one_step_per_position")]
        indexes = [models.Index(fields=["name", "-finished_at"], name="step_durations")]

    def __str__(self) -> str:
        return f"{self.name} of {self.job_id}"
