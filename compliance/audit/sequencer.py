"""The sequencer: gives committed events their place, grows the trees, publishes signed checkpoints.

One at a time, under an advisory lock; one batch is one transaction, so a kill at any point leaves either the old
checkpoint or the new one. It never runs inside a caller's transaction: a signature must not outlive a rollback.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import LockNotAvailable

from common.clock import database_now
from compliance.audit import keys, notes, payload
from compliance.audit.errors import LogInconsistent, SequencerBusy
from compliance.audit.merkle import Frontier, fold
from compliance.audit.models import Checkpoint, Tile
from compliance.audit.tree import TILE_HEIGHT, TILE_WIDTH, entries

log = structlog.get_logger(__name__)

LOCK = 0x0C4A9E6_5EA1
"""The advisory lock of the one sequencer."""

LOCK_WAIT_MS = 15_000
BATCH = 10_000
_PLATFORM = -1
"""Stands for the platform's log where SQL compares; tenants have positive numbers."""

# Events are visible here once committed; one that commits late simply gets a later place.
_PENDING = """
SELECT id, log_tenant_id, leaf_hash FROM audit_auditevent
WHERE index IS NULL
  AND COALESCE(log_tenant_id, %(platform)s) <> ALL (%(skip)s)
  AND (%(only)s::bigint IS NULL OR COALESCE(log_tenant_id, %(platform)s) = %(only)s)
ORDER BY id LIMIT %(limit)s
"""
_LATEST = """
SELECT wanted.id, c.size, c.root, c.frontier FROM unnest(%s::bigint[]) AS wanted(id)
CROSS JOIN LATERAL (
    SELECT size, root, frontier FROM audit_checkpoint
    WHERE log_tenant_id = wanted.id ORDER BY size DESC LIMIT 1) AS c
UNION ALL
(SELECT NULL, size, root, frontier FROM audit_checkpoint WHERE log_tenant_id IS NULL ORDER BY size DESC LIMIT 1)
"""
_PLACE = """
UPDATE audit_auditevent AS e SET index = placed.index
FROM unnest(%s::bigint[], %s::bigint[]) AS placed(id, index)
WHERE e.id = placed.id AND e.index IS NULL
"""


Head = tuple[int, bytes, bytes]
"""(size, root, packed frontier) of the newest checkpoint"""


@dataclass(kw_only=True)
class _Batch:
    """What one transaction writes. ``stuck`` are the logs whose stored past contradicts itself."""

    places: list[tuple[int, int]] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    stuck: list[int | None] = field(default_factory=list)


def seal(*, wait: bool = True) -> int:
    """Seal every committed event; returns how many got their place. Call outside of transactions.

    ``wait=False`` returns 0 at once when another sequencer is at work. A log whose stored hashes contradict each
    other holds up no other log; LogInconsistent is raised after the others are sealed. Raises SequencerBusy after 15 s
    of waiting, SigningKeyUnusable.
    """
    sealed, stuck = 0, list[int]()
    while True:
        try:
            done, found = _seal_batch(wait=wait, skip=stuck, only=None)
        except IntegrityError:
            # A row is in a place that was free: find the log it spoils by sealing them one by one.
            done, found = _seal_each(wait=wait, skip=stuck)
        sealed += done
        stuck += found
        if done < BATCH and not found:
            break
    if stuck:
        names = ", ".join("platform" if log_id == _PLATFORM else f"tenant {log_id}" for log_id in stuck)
        raise LogInconsistent(f"not sealed, because stored hashes contradict each other: {names}")
    return sealed


def _seal_each(*, wait: bool, skip: list[int]) -> tuple[int, list[int]]:
    sealed, stuck = 0, list[int]()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT COALESCE(log_tenant_id, %s) FROM audit_auditevent WHERE index IS NULL", [_PLATFORM]
        )
        logs = [log_id for (log_id,) in cursor.fetchall() if log_id not in skip]
    for log_id in logs:
        try:
            done, found = _seal_batch(wait=wait, skip=skip, only=log_id)
        except IntegrityError:
            log.exception("audit log cannot be sealed", log_tenant_id=log_id)
            done, found = 0, [log_id]
        sealed += done
        stuck += found
    return sealed, stuck


def _seal_batch(*, wait: bool, skip: list[int], only: int | None) -> tuple[int, list[int]]:
    """One transaction. Returns (events sealed, logs found inconsistent)."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            # A published checkpoint must survive a crash of the machine, whatever the server's default is.
            cursor.execute("SET LOCAL synchronous_commit = on")
            if not _lock(cursor, wait=wait):
                return 0, []
            cursor.execute(_PENDING, {"platform": _PLATFORM, "skip": skip, "only": only, "limit": BATCH})
            pending: dict[int | None, list[tuple[int, bytes]]] = defaultdict(list)
            for event_id, log_tenant_id, leaf_hash in cursor.fetchall():
                pending[log_tenant_id].append((event_id, bytes(leaf_hash)))
            if not pending:
                return 0, []
            heads = _heads(cursor, list(pending))
        key, at = keys.signing_key_for_sealing(), database_now()
        batch = _Batch()
        for log_tenant_id, events in pending.items():
            try:
                _grow(
                    batch=batch,
                    log_tenant_id=log_tenant_id,
                    frontier=_frontier(heads.get(log_tenant_id)),
                    events=events,
                    key=key,
                    at=at,
                )
            except LogInconsistent as error:
                log.critical("audit log inconsistent", log_tenant_id=log_tenant_id, error=error.message)
                batch.stuck.append(log_tenant_id)
        _write(batch)
    return len(batch.places), [_PLATFORM if log_id is None else log_id for log_id in batch.stuck]


def _lock(cursor: CursorWrapper, *, wait: bool) -> bool:
    if wait:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_WAIT_MS}ms"])
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise SequencerBusy("another sequencer is at work and does not finish") from None
            raise
        return True
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
    (got,) = cursor.fetchone()
    return bool(got)


def _heads(cursor: CursorWrapper, logs: Sequence[int | None]) -> dict[int | None, Head]:
    cursor.execute(_LATEST, [[log_id for log_id in logs if log_id is not None]])
    return {log_id: (size, bytes(root), bytes(frontier)) for log_id, size, root, frontier in cursor.fetchall()}


def _frontier(head: Head | None) -> Frontier:
    if head is None:
        return Frontier()
    size, root, packed = head
    try:
        frontier = Frontier.unpack(size=size, packed=packed)
    except ValueError as error:
        raise LogInconsistent(str(error)) from None
    if frontier.root != root:
        raise LogInconsistent(f"the frontier stored at size {size} does not lead to the root signed there")
    return frontier


def _grow(
    *,
    batch: _Batch,
    log_tenant_id: int | None,
    frontier: Frontier,
    events: Sequence[tuple[int, bytes]],
    key: Ed25519PrivateKey,
    at: datetime,
) -> None:
    """Append one log's events and sign its new head."""
    first = frontier.size
    fresh: dict[int, dict[int, bytes]] = defaultdict(dict)  # entries made by this batch: tile level, index
    full: list[tuple[int, int, bytes]] = []
    for index, (_event_id, leaf_hash) in enumerate(events, start=first):
        fresh[0][index] = leaf_hash
        for (level, position), node in frontier.append(leaf_hash):
            if level % TILE_HEIGHT == 0:
                tile_level = level // TILE_HEIGHT - 1
                full.append((tile_level, position, node))
                fresh[tile_level + 1][position] = node
    tiles = [_tile(log_tenant_id, level, index, root, fresh[level]) for level, index, root in full]
    name = payload.origin(log_tenant_id=log_tenant_id)
    text = notes.checkpoint_text(origin=name, size=frontier.size, root=frontier.root)
    batch.places += [(event_id, index) for index, (event_id, _hash) in enumerate(events, start=first)]
    batch.tiles += tiles
    batch.checkpoints.append(
        Checkpoint(
            log_tenant_id=log_tenant_id,
            size=frontier.size,
            root=frontier.root,
            frontier=frontier.pack(),
            note=notes.sign(text=text, name=name, key=key).encode(),
            created_at=at,
        )
    )


def _tile(log_tenant_id: int | None, level: int, index: int, root: bytes, fresh: Mapping[int, bytes]) -> Tile:
    """A tile just completed; its older entries are read back and must lead to the root that the frontier knew."""
    start, end = index * TILE_WIDTH, (index + 1) * TILE_WIDTH
    known = next(at for at in range(start, end) if at in fresh)
    hashes = entries(log_tenant_id=log_tenant_id, level=level, start=start, end=known) if known > start else []
    hashes += [fresh[at] for at in range(known, end)]
    if fold(hashes) != root:
        raise LogInconsistent(f"stored hashes of tile {level}/{index} do not lead to the root signed over them")
    return Tile(log_tenant_id=log_tenant_id, level=level, index=index, hashes=b"".join(hashes), root=root)


def _write(batch: _Batch) -> None:
    Tile.objects.bulk_create(batch.tiles, batch_size=500)
    with connection.cursor() as cursor:
        cursor.execute(
            _PLACE, [[event_id for event_id, _index in batch.places], [at for _event_id, at in batch.places]]
        )
        if cursor.rowcount != len(batch.places):
            raise LogInconsistent("events were placed by somebody else than the sequencer")
    Checkpoint.objects.bulk_create(batch.checkpoints, batch_size=500)
