"""``Idempotency-Key``: a repeated POST is answered again, not done again.

1. Claim: a row (tenant, key) is committed with the request's hash and a fencing token, for a minute.
2. Effect and answer: the view runs in one transaction, whose last write puts the answer into the row. Either both are
   committed or neither, so a crash in between leaves a claim that runs out, and the repetition does the work.
3. A request that failed changed nothing; its claim is dropped and a repetition tries again.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import tenant_id_of
from api.models import ANSWER, IdempotencyKey
from common import vault
from common.actors import Actor
from common.clock import database_now
from common.errors import Conflict, InvalidRequest

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
CLAIM_LASTS = timedelta(seconds=60)
KEPT_FOR = timedelta(hours=24)
LONGEST_KEY = 128


class IdempotencyKeyMissing(InvalidRequest):
    """The address asks for an Idempotency-Key, so that a repeated request never acts twice."""

    code = "idempotency-key-missing"
    hint = "send a fresh random value, for example a UUID, and the same one when you repeat the request"


class IdempotencyKeyUnusable(InvalidRequest):
    """The Idempotency-Key is empty, longer than 128 characters, or holds more than visible ASCII."""

    code = "idempotency-key-unusable"


class IdempotencyKeyReused(InvalidRequest):
    """The key was sent before with another request: another body, address or caller."""

    code = "idempotency-key-reused"
    status = 422
    hint = "use a fresh key for a new request"


class IdempotencyInProgress(Conflict):
    """The first request with this key is still being worked on."""

    code = "idempotency-in-progress"
    retryable = True
    hint = "send the same request again in a second"


@dataclass(frozen=True, kw_only=True)
class _Claimed:
    row_id: int
    claim: str


def key_of(request: Request, *, required: bool) -> str | None:
    """The header's value, checked. Raises IdempotencyKeyMissing, IdempotencyKeyUnusable."""
    key = request.headers.get(HEADER)
    if key is None:
        if required:
            raise IdempotencyKeyMissing(_("The header Idempotency-Key is missing."))
        return None
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key):
        raise IdempotencyKeyUnusable(_("An Idempotency-Key is 1 to 128 visible ASCII characters."))
    return key


def once(*, request: Request, actor: Actor, key: str, act: Callable[[], Response]) -> Response:
    """Run ``act`` in a transaction, once per key; a repetition gets the stored answer.

    Raises IdempotencyKeyReused, IdempotencyInProgress, and whatever ``act`` raises.
    """
    found = _claim(actor=actor, key=key, request_sha256=_hash(request, actor))
    if isinstance(found, Response):
        return found
    try:
        with transaction.atomic():
            response = act()
            _answer(found, response)
    except Exception:
        # Where even this fails, the claim runs out by itself.
        with contextlib.suppress(DatabaseError):
            IdempotencyKey.objects.filter(pk=found.row_id, claim=found.claim, answered_at=None).delete()
        raise
    return response


def _hash(request: Request, actor: Actor) -> str:
    """Of who asks what of whom; equal JSON counts as equal, however it was written."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"), default=str)
    text = "\n".join([actor.ref, request.method or "", request.get_full_path(), body])
    return hashlib.sha256(text.encode()).hexdigest()


def _claim(*, actor: Actor, key: str, request_sha256: str) -> _Claimed | Response:
    claim = secrets.token_hex(16)
    with transaction.atomic():
        now = database_now()
        try:
            with transaction.atomic():
                row = IdempotencyKey.objects.create(
                    tenant_id=tenant_id_of(actor=actor),
                    key=key,
                    request_sha256=request_sha256,
                    claim=claim,
                    claimed_until=now + CLAIM_LASTS,
                    created_at=now,
                )
            return _Claimed(row_id=row.pk, claim=claim)
        except IntegrityError:
            pass
        known = IdempotencyKey.objects.visible_to(actor).select_for_update(of=("self",)).filter(key=key).first()
        if known is None:  # its first request failed between the two statements
            raise IdempotencyInProgress(_("The first request with this key has just failed."))
        if known.created_at <= now - KEPT_FOR:  # as good as forgotten; the hourly task would have dropped it
            known.answered_at, known.answer_sealed, known.created_at = None, None, now
            known.request_sha256, known.claimed_until = request_sha256, now
        if known.request_sha256 != request_sha256:
            raise IdempotencyKeyReused(_("This Idempotency-Key was sent with another request."))
        if known.answered_at is not None and known.answer_sealed is not None:
            return _replay(bytes(known.answer_sealed))
        if known.claimed_until > now:
            raise IdempotencyInProgress(_("The first request with this key is still being worked on."))
        known.claim, known.claimed_until = claim, now + CLAIM_LASTS
        known.save()
        return _Claimed(row_id=known.pk, claim=claim)


def _answer(claimed: _Claimed, response: Response) -> None:
    stored = {
        "status": response.status_code,
        "headers": {name: str(response[name]) for name in ("Location",) if name in response},
        "body": json.loads(JSONRenderer().render(response.data) or b"null"),
    }
    updated = IdempotencyKey.objects.filter(pk=claimed.row_id, claim=claimed.claim, answered_at=None).update(
        answered_at=database_now(), answer_sealed=vault.seal(json.dumps(stored), context=ANSWER)
    )
    if updated != 1:
        # Another request took over a claim that ran out; ours is undone with this transaction.
        raise IdempotencyInProgress(_("Another request with this key took over."))


def _replay(sealed: bytes) -> Response:
    stored: dict[str, Any] = json.loads(vault.unseal(sealed, context=ANSWER))
    return Response(stored["body"], status=stored["status"], headers={**stored["headers"], REPLAYED: "true"})


def forget_old_keys(*, batch: int = 10_000) -> int:
    """Drop keys older than a day, a batch at a time. Returns how many."""
    table = IdempotencyKey._meta.db_table  # noqa: SLF001 - Django's documented model API
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f'DELETE FROM "{table}" WHERE id IN (SELECT id FROM "{table}" '  # noqa: S608 - a model's own table
                "WHERE created_at < chapek_now() - make_interval(secs => %s) LIMIT %s)",
                [KEPT_FOR.total_seconds(), batch],
            )
            dropped: int = cursor.rowcount
            total += dropped
            if dropped < batch:
                return total
