"""Writes to the audit log: one INSERT in the transaction of the change, sealed into the tree a moment later."""

from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from common.actors import Actor
from common.clock import database_now
from common.ids import new_ref
from common.state_machine import Transition
from compliance.audit import keys, payload
from compliance.audit.models import AuditEvent
from compliance.audit.sequencer import seal

__all__ = ["adopt_signing_key", "record", "record_transition", "seal"]


def record(
    *,
    log_tenant_id: int | None,
    kind: str,
    subject_ref: str,
    actor: Actor,
    details: dict[str, Any],
    at: datetime,
) -> AuditEvent:
    """Log one event in the caller's transaction: it commits with the change that it tells of, or not at all.

    ``log_tenant_id`` None is the platform's own log. ``details`` are plain JSON; ``details["reservation"]`` ties the
    event to a reservation, as a subject ``res_...`` does. ``at`` is when it happened (``chapek_now()``), aware.
    Nothing is locked here: the place in the log is given by the sequencer.
    Raises EventNotRecordable or EventTooLarge.
    """
    ref = new_ref("evt")
    context_ref = _context_of(subject_ref, details)
    leaf = payload.build(
        log_tenant_id=log_tenant_id,
        ref=ref,
        kind=kind,
        subject_ref=subject_ref,
        context_ref=context_ref,
        actor=actor,
        details=details,
        at=at,
    )
    return AuditEvent.objects.create(
        ref=ref,
        log_tenant_id=log_tenant_id,
        kind=kind,
        subject_ref=subject_ref,
        context_ref=context_ref,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_role=actor.role,
        request_id=actor.request_id,
        occurred_at=at,
        leaf=leaf,
        leaf_hash=payload.leaf_hash(leaf),
    )


def record_transition(transition: Transition) -> None:
    """The recorder of ``common.state_machine``: exactly one event, ``<machine>.<event>``, for each change of state."""
    record(
        log_tenant_id=transition.tenant_id,
        kind=f"{transition.machine}.{transition.event}",
        subject_ref=transition.subject_ref,
        actor=transition.actor,
        details={**transition.details, "from": transition.source, "to": transition.target},
        at=transition.at,
    )


def adopt_signing_key(*, actor: Actor) -> None:
    """Make the key now in the signing key file the one that signs, and say so in the platform's log.

    Verifiers need its public half from now on, by a way of their own. Raises SigningKeyUnusable.
    """
    key = keys.read_key(Path(settings.CHAPEK_SIGNING_KEY_FILE))
    public = key.public_key().public_bytes_raw()
    with transaction.atomic():
        keys.announce(key)
        record(
            log_tenant_id=None,
            kind="audit.signing_key",
            subject_ref="audit",
            actor=actor,
            details={"public": public.hex()},
            at=database_now(),
        )


def _context_of(subject_ref: str, details: dict[str, Any]) -> str:
    """The reservation an event belongs to, or ''."""
    named = details.get("reservation")
    if isinstance(named, str) and named:
        return named
    return subject_ref if subject_ref.startswith("res_") else ""
