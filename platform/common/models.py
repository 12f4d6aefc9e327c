from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """News from one room to those above it, written in the transaction of the change.

    ``aggregate`` is the thing it is about: events of one aggregate are handled in the order they were written.
    """

    kind = models.CharField(max_length=80)
    aggregate = models.CharField(max_length=80)
    payload = models.JSONField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    dispatched_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.TextField(blank=True, default="")

    class Meta:
        indexes = [
            models.Index(
                fields=["aggregate", "id"], name="outbox_pending_aggregate", condition=models.Q(dispatched_at=None)
            ),
            models.Index(fields=["id"], name="outbox_pending", condition=models.Q(dispatched_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.aggregate}"
