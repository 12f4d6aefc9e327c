"""What beat rings, and how often. Every task is idempotent: two beats, or a late one, do no harm."""

from typing import Any

SCHEDULE: dict[str, dict[str, Any]] = {
    "outbox": {"task": "common.dispatch_outbox", "schedule": 2.0},
    "due reservations": {"task": "reservations.run_due", "schedule": 2.0},
    "provisioning jobs": {"task": "provisioning.reconcile", "schedule": 2.0},
    "audit checkpoints": {"task": "audit.seal", "schedule": 2.0},
    "money held": {"task": "billing.renew_holds", "schedule": 60.0},
    "payments": {"task": "billing.reconcile_payments", "schedule": 60.0},
    "overdue invoices": {"task": "billing.mark_overdue", "schedule": 3600.0},
    "idempotency keys": {"task": "api.forget_old_keys", "schedule": 3600.0},
}
