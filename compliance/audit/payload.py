"""The leaf: an event as canonical bytes (RFC 8785). Made once, stored, hashed as stored."""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import rfc8785
from django.db import connection

from common.actors import Actor
from compliance.audit.errors import EventNotRecordable, EventTooLarge
from observability.logs import redact

VERSION = 1
LEAF_LIMIT_BYTES = 64 * 1024 - 1
"""C2SP tlog-tiles gives the length of an entry two bytes."""


@lru_cache(maxsize=1)
def installation() -> str:
    """Sixteen hexadecimal digits drawn when the database was made; they tell installations' logs apart."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT chapek_installation()")
        (value,) = cursor.fetchone()
    return str(value)


def origin(*, log_tenant_id: int | None) -> str:
    """The name of a log, also the name of its key: ``chapek/<installation>/tenant/17`` or ``.../platform``."""
    return f"chapek/{installation()}/" + ("platform" if log_tenant_id is None else f"tenant/{log_tenant_id}")


def rfc3339(at: datetime) -> str:
    """``2026-11-21T02:38:40Z``; with microseconds only where there are any. Raises ValueError without a time zone."""
    if at.tzinfo is None:
        raise ValueError("a logged instant has a time zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def build(
    *,
    log_tenant_id: int | None,
    ref: str,
    kind: str,
    subject_ref: str,
    context_ref: str,
    actor: Actor,
    details: dict[str, Any],
    at: datetime,
) -> bytes:
    """The canonical bytes of one event, at most 64 KiB less one byte.

    Secrets in ``details``, by the name of their field or their own look, are blanked. Raises EventNotRecordable for
    what JSON cannot carry exactly (NaN, integers beyond 2^53, datetimes, bytes, keys that are no strings) and for an
    actor named by an e-mail address; EventTooLarge beyond the limit.
    """
    if "@" in actor.ref:
        raise EventNotRecordable(f"{kind}: an actor is logged by an opaque id, never by an address")
    try:
        leaf = rfc8785.dumps(
            {
                "version": VERSION,
                "origin": origin(log_tenant_id=log_tenant_id),
                "id": ref,
                "kind": kind,
                "subject": subject_ref,
                "context": context_ref,
                "actor": {"kind": str(actor.kind), "ref": actor.ref, "role": actor.role},
                "request": actor.request_id,
                "occurred_at": rfc3339(at),
                "details": redact(details),
            }
        )
    except (ValueError, RecursionError) as error:
        raise EventNotRecordable(f"{kind} of {subject_ref} cannot be written down exactly: {error}") from error
    if len(leaf) > LEAF_LIMIT_BYTES:
        raise EventTooLarge(
            f"{kind} of {subject_ref} takes {len(leaf)} bytes, an event may take {LEAF_LIMIT_BYTES}",
            hint="log a hash of large content instead of the content",
        )
    return leaf


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962: SHA-256 over 0x00 and the leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()
