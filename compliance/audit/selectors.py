"""Reads of the audit log: the activity list, the download, the verifier and its key."""

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from django.db.models import Q, QuerySet

from compliance.audit import export as exports
from compliance.audit import keys, notes, payload
from compliance.audit.errors import NothingSealed
from compliance.audit.models import AuditEvent


def events_of(*, log_tenant_id: int | None, subject_refs: Iterable[str] | None) -> QuerySet[AuditEvent]:
    """Events of one log, newest first: of these subjects and of everything that names one of them as its reservation.

    None means the whole log. Each event tells ``at``, ``who``, ``what`` (in words), ``details``; ``index`` is None
    for the moment until it is sealed.
    """
    events = AuditEvent.objects.filter(log_tenant_id=log_tenant_id).order_by("-id")
    if subject_refs is None:
        return events
    refs = list(subject_refs)
    return events.filter(Q(subject_ref__in=refs) | Q(context_ref__in=refs))


def export(
    *, log_tenant_id: int | None, subject_refs: Iterable[str] | None, since_sizes: Sequence[int] = ()
) -> dict[str, Any]:
    """The download as plain JSON: exact bytes, proofs, signed checkpoint and signed statement of completeness.

    ``subject_refs`` None is the whole log. ``since_sizes`` are tree sizes of earlier downloads to prove against.
    Events not sealed yet are counted in it, not contained. Raises NothingSealed, UnknownTreeSize, SigningKeyUnusable.
    """
    refs = None if subject_refs is None else sorted(set(subject_refs))
    checkpoint = exports.checkpoint_of(log_tenant_id=log_tenant_id)
    scope = events_of(log_tenant_id=log_tenant_id, subject_refs=refs)
    return exports.build(
        log_tenant_id=log_tenant_id,
        subject_refs=refs,
        events=list(scope.filter(index__lt=checkpoint.size).order_by("index").only("index", "leaf", "leaf_hash")),
        pending=scope.filter(Q(index__isnull=True) | Q(index__gte=checkpoint.size)).count(),
        checkpoint=checkpoint,
        since_sizes=since_sizes,
    )


def verifier_key(*, log_tenant_id: int | None) -> str:
    """The C2SP verifier key line of this log, one line, to be handed out by a way of its own. Raises NothingSealed."""
    public = keys.announced_key()
    if public is None:
        raise NothingSealed("nothing has been signed yet")
    return notes.verifier_key(name=payload.origin(log_tenant_id=log_tenant_id), public=public)


def verifier_source() -> bytes:
    """The offline verifier, one Python file: standard library and ``cryptography``."""
    return resources.files("compliance.verifier").joinpath("chapek_verify.py").read_bytes()
