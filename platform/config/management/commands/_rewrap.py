"""Every sealed value of the database: which key each is wrapped with, and wrapping them anew, in batches."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.models import BinaryField, Case, Count, Expression, F, Func, IntegerField, Manager, QuerySet, Value, When
from django.db.models.functions import Length

from common import vault

ROTATION_LOCK = 0x6368_6170_656B_0001  # "chapek", the first of our session locks
SAMPLE = 20


@dataclass(kw_only=True)
class Outcome:
    """What happened to one column. ``damaged`` are primary keys of values that do not open."""

    column: vault.SealedColumn
    rewrapped: int = 0
    damaged: list[Any] = field(default_factory=list)


@contextmanager
def one_rotation_at_a_time() -> Iterator[None]:
    """Held by this database session: a killed rotation frees it, whichever host it ran on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ROTATION_LOCK])
        (held,) = cursor.fetchone()
    if not held:
        raise CommandError("another rotate_keys is at work on this database")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ROTATION_LOCK])


def columns() -> list[vault.SealedColumn]:
    """The registered columns, in a fixed order."""
    return sorted(vault.sealed_columns(), key=lambda column: (column.model, column.field))


def waiting(column: vault.SealedColumn, *, active: str) -> int:
    """How many values are not under the active key."""
    return _stale(column, active=active).count()


def keys_in_use() -> Counter[str]:
    """How many values each key opens. Values that are not sealed values count under ``""``."""
    used: Counter[str] = Counter()
    for column in columns():
        sealed = _values(column).filter(vault_sealed=True).annotate(vault_key=_part(column, 3, _length_of_name(column)))
        for key, count in sealed.order_by().values_list("vault_key").annotate(Count("pk")):
            used[bytes(key).decode(errors="replace")] += count
        used[""] += _values(column).filter(vault_sealed=False).count()
    return +used


def opens(column: vault.SealedColumn) -> bool:
    """Whether one of the newest values opens with the present keyring; True when there is none at all."""
    newest = list(_values(column).order_by("-pk").values_list(column.field, flat=True)[:SAMPLE])
    for blob in newest:
        try:
            vault.unseal(bytes(blob), context=column.context)
        except vault.VaultError:
            continue
        return True
    return not newest


def rewrap_column(column: vault.SealedColumn, *, active: str, batch: int) -> Outcome:
    """Wrap what is not under the active key anew, ``batch`` rows a transaction: what is committed stays done."""
    outcome = Outcome(column=column)
    last: Any = None
    while True:
        with transaction.atomic():
            rows = _stale(column, active=active).select_for_update(of=("self",), no_key=True).order_by("pk")
            if last is not None:
                rows = rows.filter(pk__gt=last)
            chunk = list(rows.values_list("pk", column.field)[:batch])
            for pk, blob in chunk:
                try:
                    fresh = vault.rewrap(bytes(blob), context=column.context)
                except vault.VaultError:
                    outcome.damaged.append(pk)
                else:
                    outcome.rewrapped += _rows(column).filter(pk=pk).update(**{column.field: fresh})
        if not chunk:
            return outcome
        last = chunk[-1][0]


def _rows(column: vault.SealedColumn) -> Manager[Any]:
    # Not ``objects``: that one asks for whom, and keys are rotated for all tenants alike.
    manager: Manager[Any] = apps.get_model(column.model)._base_manager  # noqa: SLF001 - Django's documented model API
    return manager


def _part(column: vault.SealedColumn, first: int, length: Expression) -> Func:
    """Bytes of the value, counted from 1."""
    return Func(F(column.field), Value(first), length, function="substring", output_field=BinaryField())


def _length_of_name(column: vault.SealedColumn) -> Func:
    return Func(F(column.field), Value(1), function="get_byte", output_field=IntegerField())


def _values(column: vault.SealedColumn) -> QuerySet[Any]:
    """Rows that hold a value, marked with whether it begins as sealed ones do: version 1, and room for a name."""
    rows: QuerySet[Any] = _rows(column).exclude(**{column.field: None}).annotate(vault_size=Length(column.field))
    sealed = Case(When(vault_size__gt=2, vault_version=bytes([1]), then=True), default=False)
    marked: QuerySet[Any] = rows.filter(vault_size__gt=0).annotate(vault_version=_part(column, 1, Value(1)))
    both: QuerySet[Any] = marked.annotate(vault_sealed=sealed)
    return both


def _stale(column: vault.SealedColumn, *, active: str) -> QuerySet[Any]:
    """Values whose head (version, length, name) is not the active key's."""
    head = bytes([1, len(active.encode())]) + active.encode()
    rows: QuerySet[Any] = _values(column).annotate(vault_head=_part(column, 1, Value(len(head))))
    return rows.exclude(vault_head=head)
