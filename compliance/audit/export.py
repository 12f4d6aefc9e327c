"""The download: exact bytes, proofs and signatures, to be checked by somebody who trusts nobody, offline."""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import rfc8785
from django.db.models import Max
from django.db.models.functions import TruncDate
from django.utils.translation import gettext as _

from common.clock import database_now
from compliance.audit import keys, merkle, notes, payload
from compliance.audit.errors import NothingSealed, UnknownTreeSize
from compliance.audit.models import AuditEvent, Checkpoint
from compliance.audit.tree import StoredTree

FORMAT = "chapek.audit.export/1"
PROOFLESS_FROM = 20_000
"""A whole log of this many events carries no proof per event: all its hashes together lead to the root."""
OLDER_DAYS = 30
"""The last checkpoint of each of so many past days comes along, with the proof that today's log extends it."""


def not_proven() -> list[str]:
    """What no log of this kind can show, said to whoever reads the export."""
    return [
        _("That an event was truthful when it was logged: the log proves that it was not changed or removed since."),
        _(
            "That everything was logged that should have been: a whole-log export proves only that no logged event is "
            "left out of it; an export of one reservation rests on the platform's signed statement that it is complete."
        ),
        _(
            "That you and others were shown the same log: compare checkpoints, keep your own, and check a later export "
            "against an earlier one with --since."
        ),
        _(
            "When a checkpoint was signed: times are the platform's own clock; no outside witness or time stamp "
            "confirms them."
        ),
        _("That the verifier key is the platform's: get it by another way than the file it is to check."),
    ]


def build(
    *,
    log_tenant_id: int | None,
    subject_refs: Sequence[str] | None,
    events: Sequence[AuditEvent],
    pending: int,
    checkpoint: Checkpoint,
    since_sizes: Sequence[int],
) -> dict[str, Any]:
    """The export as plain JSON. ``events`` are all sealed ones in scope, by index, below ``checkpoint.size``."""
    tree = StoredTree(log_tenant_id=log_tenant_id, size=checkpoint.size)
    whole = subject_refs is None
    indexes = [_place(event) for event in events]
    with_proofs = not (whole and len(events) >= PROOFLESS_FROM)
    paths = [merkle.inclusion_path(index, checkpoint.size) for index in indexes] if with_proofs else []
    proofs = tree.proofs(paths)
    name = payload.origin(log_tenant_id=log_tenant_id)
    at = database_now()
    key = keys.signing_key()
    text = statement_text(
        origin=name, checkpoint=checkpoint, subject_refs=subject_refs, indexes=indexes, pending=pending, at=at
    )
    return {
        "format": FORMAT,
        "verifier_key_id": notes.key_id(name=name, public=key.public_key().public_bytes_raw()).hex(),
        "checkpoint": bytes(checkpoint.note).decode(),
        "statement": notes.sign(text=text, name=name, key=key),
        "events": [
            {
                "index": index,
                "leaf": _b64(bytes(event.leaf)),
                "hash": _b64(bytes(event.leaf_hash)),
                "proof": [_b64(value) for value in proofs[nth]] if with_proofs else None,
            }
            for nth, (index, event) in enumerate(zip(indexes, events, strict=True))
        ],
        "consistency": _older(tree, checkpoint, since_sizes, now=at),
        "not_proven": not_proven(),
    }


def statement_text(
    *,
    origin: str,
    checkpoint: Checkpoint,
    subject_refs: Sequence[str] | None,
    indexes: Sequence[int],
    pending: int,
    at: datetime,
) -> str:
    """What the platform signs for this download: these indexes, and no others, are in scope at this checkpoint.

    Its first line is no log's name, so it can never be taken for a checkpoint.
    """
    scope = "*" if subject_refs is None else rfc8785.dumps(sorted(subject_refs)).decode()
    root = _b64(bytes(checkpoint.root))
    return (
        f"{FORMAT}\n{origin}\n{checkpoint.size}\n{root}\nat {payload.rfc3339(at)}\n"
        f"scope {scope}\nindexes {ranges(indexes)}\npending {pending}\n"
    )


def ranges(indexes: Sequence[int]) -> str:
    """``0-4,9``; ``-`` when there are none."""
    spans: list[list[int]] = []
    for index in indexes:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "-"


def checkpoint_of(*, log_tenant_id: int | None) -> Checkpoint:
    """The newest checkpoint. Raises NothingSealed."""
    newest = Checkpoint.objects.filter(log_tenant_id=log_tenant_id).order_by("-size").first()
    if newest is None:
        raise NothingSealed("this log has no signed checkpoint yet")
    return newest


def _older(
    tree: StoredTree, checkpoint: Checkpoint, since_sizes: Sequence[int], *, now: datetime
) -> list[dict[str, Any]]:
    """Earlier checkpoints, each with the proof that the present log extends it, oldest first."""
    earlier = Checkpoint.objects.filter(log_tenant_id=tree.log_tenant_id, size__lt=checkpoint.size)
    asked = {size for size in since_sizes if size != checkpoint.size}
    daily = (
        earlier.filter(created_at__gte=now - timedelta(days=OLDER_DAYS), created_at__lt=now - timedelta(days=1))
        .values(day=TruncDate("created_at"))
        .annotate(last=Max("size"))
        .values_list("last", flat=True)
    )
    found = list(earlier.filter(size__in=asked | set(daily)).order_by("size"))
    unknown = asked - {row.size for row in found}
    if unknown:
        sizes = ", ".join(map(str, sorted(unknown)))
        raise UnknownTreeSize(f"this log never had a checkpoint at {sizes}", field="since")
    proofs = tree.proofs([merkle.consistency_path(row.size, checkpoint.size) for row in found])
    return [
        {"size": row.size, "checkpoint": bytes(row.note).decode(), "proof": [_b64(value) for value in proof]}
        for row, proof in zip(found, proofs, strict=True)
    ]


def _place(event: AuditEvent) -> int:
    if event.index is None:
        raise ValueError("only sealed events are exported")
    return event.index


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
