"""Logs of bounded size."""

import os
from pathlib import Path

LIMIT_BYTES = 10 * 2**20
KEPT = 3


def rotate(path: Path, *, limit_bytes: int = LIMIT_BYTES, kept: int = KEPT) -> bool:
    """Move what a log holds past the limit to `.1` and let its writers go on in the same file; True when it did.

    Copied and truncated, since programs hold their log open (all of them append).
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(kept, 1, -1):
        newer = path.with_name(f"{path.name}.{number - 1}")
        if newer.exists():
            newer.replace(path.with_name(f"{path.name}.{number}"))
    with path.open("rb") as source, path.with_name(f"{path.name}.1").open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        # The end counts: of a log that ran away between two looks, the oldest part is dropped.
        size = os.fstat(source.fileno()).st_size
        offset, left = max(0, size - 2 * limit_bytes), min(size, 2 * limit_bytes)
        while left > 0 and (copied := os.sendfile(target.fileno(), source.fileno(), offset, left)) > 0:
            offset, left = offset + copied, left - copied
    os.truncate(path, 0)
    return True
