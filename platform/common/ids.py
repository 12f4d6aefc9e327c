"""Public ids: a prefix that names the kind, and 26 characters of Crockford base 32 that sort by time (ULID)."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_ref(prefix: str) -> str:
    """``res_01jd...``: 48 bits of milliseconds, 80 bits of randomness. Unguessable enough to show, never a secret."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = []
    for _ in range(26):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return f"{prefix}_{''.join(reversed(digits))}"
