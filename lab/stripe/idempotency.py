"""Idempotency keys as Stripe documents them: the first answer is kept and given again, even when it was a 500."""

import hashlib
import json
from dataclasses import dataclass, field

from lab.stripe.errors import Fault
from lab.stripe.store import Thing

LIFE_S = 24 * 3600


@dataclass
class Kept:
    """A key's first request and, once it is done, its answer."""

    fingerprint: str
    made_at: int
    status: int = 0
    body: Thing = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.status != 0


@dataclass
class Keys:
    kept: dict[str, Kept] = field(default_factory=dict)

    def begin(self, key: str, *, path: str, params: Thing, now: int) -> Kept | None:
        """None for a new key, which is in use from now on; else its kept answer.

        Raises Fault when the key came with other parameters, or while its first request is still in hand.
        """
        fingerprint = hashlib.sha256(json.dumps([path, params], sort_keys=True).encode()).hexdigest()
        known = self.kept.get(key)
        if known is not None and now - known.made_at < LIFE_S:
            if known.fingerprint != fingerprint:
                raise Fault(
                    400,
                    kind="idempotency_error",
                    message="Keys for idempotent requests can only be used with the same parameters they were first "
                    f"used with. Try using a key other than '{key}' if you meant to execute a different request.",
                )
            if not known.is_done:
                raise Fault(
                    409,
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                    message="There is currently another in-progress request using this key.",
                )
            return known
        self.kept[key] = Kept(fingerprint=fingerprint, made_at=now)
        return None

    def finish(self, key: str, *, status: int, body: Thing) -> None:
        kept = self.kept[key]
        kept.status, kept.body = status, body

    def forget(self, key: str) -> None:
        """A request that was refused before it began leaves its key free."""
        self.kept.pop(key, None)
