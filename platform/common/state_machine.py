"""States are tables; ``fire`` is the only way to change one.

It locks the row, looks the event up in the table, saves the new state and has the audit recorder write exactly one
event, all in the caller's transaction. ``common`` knows no audit log: it declares the recorder and refuses to work
until one is registered (``compliance.audit`` does so when the application starts).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import connection, models
from django.db.models import TextChoices

from common.actors import Actor
from common.clock import database_now
from common.errors import Conflict, PlatformFault


class IllegalTransition(Conflict):
    """The event does not fit the present state."""

    code = "illegal-transition"


class RecorderMissing(PlatformFault):
    """No audit recorder is registered: nothing may change state unseen."""

    code = "audit-recorder-missing"
    retryable = False


class Stateful(Protocol):
    """What ``fire`` needs of a model: ``ref``, ``state``, ``state_changed_at`` and the log it is audited in."""

    pk: Any
    ref: str
    state: str
    state_changed_at: datetime

    @property
    def audit_tenant_id(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One kind of life: ``table[(state, event)] -> state``. Unlisted pairs are refused; there is no wildcard."""

    name: str
    states: type[TextChoices]
    events: type[TextChoices]
    table: Mapping[tuple[str, str], str]

    def __post_init__(self) -> None:
        for (state, event), target in self.table.items():
            if state not in self.states.values or target not in self.states.values or event not in self.events.values:
                raise ValueError(f"{self.name}: unknown name in {state} --{event}--> {target}")

    def events_from(self, state: str) -> list[str]:
        return [event for (source, event) in self.table if source == state]


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What happened: handed to the recorder and returned to the caller. ``at`` is the database's time."""

    machine: str
    subject_ref: str
    tenant_id: int | None
    source: str
    target: str
    event: str
    actor: Actor
    at: datetime
    details: dict[str, Any] = field(default_factory=dict)


Recorder = Callable[[Transition], None]
_recorder: Recorder | None = None


def register_recorder(recorder: Recorder) -> None:
    """The audit log introduces itself; the last one registered counts."""
    global _recorder  # noqa: PLW0603 - one process-wide port, filled at start
    _recorder = recorder


def born(
    *,
    machine: Machine,
    subject: Stateful,
    actor: Actor,
    details: dict[str, Any] | None = None,
) -> Transition:
    """Audit the first state of a row that the caller has just inserted; the event is named ``created``."""
    if _recorder is None:
        raise RecorderMissing("no audit recorder is registered; nothing may begin unseen")
    transition = Transition(
        machine=machine.name,
        subject_ref=subject.ref,
        tenant_id=subject.audit_tenant_id,
        source="",
        target=subject.state,
        event="created",
        actor=actor,
        at=database_now(),
        details=details or {},
    )
    _recorder(transition)
    return transition


def _move(machine: Machine, subject: Any, event: str) -> tuple[str, str, datetime]:
    """Source, target and time of the change, written to the row. Raises IllegalTransition.

    Mostly the instance knows the row's state: then one guarded update locks, checks and saves. Where it does not, or
    the move is refused, the row's own state decides.
    """
    meta = subject._meta  # noqa: SLF001 - Django's documented model API
    source = str(subject.state)
    target = machine.table.get((source, event))
    at = None if target is None else _save(meta, subject.pk, source, target)
    if at is None:
        rows = type(subject)._base_manager.select_for_update(of=("self",), no_key=True)  # noqa: SLF001 - likewise
        source = str(rows.values_list("state", flat=True).get(pk=subject.pk))
        target = machine.table.get((source, event))
        if target is None:
            raise IllegalTransition(
                f"{machine.name} {subject.ref} is {source}; {event} is not possible now",
                hint=f"possible from here: {', '.join(sorted(machine.events_from(source))) or 'nothing'}",
                state=source,
                event=event,
            )
        at = _save(meta, subject.pk, source, target)
    if target is None or at is None:
        raise PlatformFault(f"{machine.name} {subject.ref} changed while its row was locked")
    return source, target, at


def _save(meta: Any, pk: Any, source: str, target: str) -> datetime | None:
    """The time of the change, or None when the row is not in ``source``; its lock is held from then on."""
    table, key = f'"{meta.db_table}"', f'"{meta.pk.column}"'
    with connection.cursor() as cursor:
        # Locked by itself first: an update that waits for a lock has read its clock before, and DESIGN section 10
        # wants the time after.
        cursor.execute(
            f"WITH held AS (SELECT {key} AS pk, state FROM {table} WHERE {key} = %s FOR NO KEY UPDATE) "  # noqa: S608 - a model's table
            f"UPDATE {table} SET state = %s, state_changed_at = chapek_now() FROM held "
            f"WHERE {table}.{key} = held.pk AND held.state = %s RETURNING {table}.state_changed_at",
            [pk, target, source],
        )
        row = cursor.fetchone()
    return None if row is None else row[0].astimezone(UTC)


def fire(
    *,
    machine: Machine,
    subject: Stateful,
    event: str,
    actor: Actor,
    details: dict[str, Any] | None = None,
) -> Transition:
    """Change ``subject.state`` by ``event``; must run inside a transaction.

    ``details`` are plain, non-secret facts for the audit event. The instance is brought up to date in place.
    Raises IllegalTransition when the table has no such move, RecorderMissing when nothing would be audited.
    """
    if _recorder is None:
        raise RecorderMissing("no audit recorder is registered; the state was not changed")
    if not connection.in_atomic_block:
        raise PlatformFault("a state may only change inside a transaction")
    if not isinstance(subject, models.Model):
        raise TypeError("fire() takes a model instance")
    source, target, at = _move(machine, subject, event)
    subject.state, subject.state_changed_at = target, at
    transition = Transition(
        machine=machine.name,
        subject_ref=subject.ref,
        tenant_id=subject.audit_tenant_id,
        source=source,
        target=target,
        event=event,
        actor=actor,
        at=at,
        details=details or {},
    )
    _recorder(transition)
    return transition
