"""Writes to the audit log: one INSERT in the transaction of the change, sealed into the tree a moment later."""

from datetime import datetime
from typing import Any

from common.actors import Actor
from common.ids import new_ref
from common.state_machine import Transition

from compliance.audit import payload
from compliance.audit.models import AuditEvent

__all__ = ["record", "record_transition"]


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


def _context_of(subject_ref: str, details: dict[str, Any]) -> str:
    """The reservation an event belongs to, or ''."""
    named = details.get("reservation")
    if isinstance(named, str) and named:
        return named
    return subject_ref if subject_ref.startswith("res_") else ""
