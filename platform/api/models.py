"""What the API itself remembers: answers given to requests that bore an Idempotency-Key."""

from django.db import models
from django.db.models.functions import Now

from common import vault
from common.tenancy import TenantOwnedModel

ANSWER = vault.register_column(model="api.IdempotencyKey", field="answer_sealed", context="api.idempotency.answer")


class IdempotencyKey(TenantOwnedModel):
    """One key of one tenant: first claimed, then, in the transaction of the effect, answered.

    ``answer_sealed`` holds status, headers and body; sealed, since the answer to a new API key holds its secret.
    ``claim`` is a fencing token: only the request that holds it may answer, and its effect is undone otherwise.
    """

    key = models.CharField(max_length=128)
    request_sha256 = models.CharField(max_length=64)
    claim = models.CharField(max_length=32)
    claimed_until = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    answer_sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="one_request_per_idempotency_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return f"{self.key} of {self.tenant_id}"
