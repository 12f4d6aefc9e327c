"""The Merkle tree of RFC 6962 and RFC 9162, section 2.1: pure functions over hashes of 32 bytes, no I/O.

A node is named by its level (0 = leaf hash) and its index in that level; only nodes over complete subtrees have names.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Node = tuple[int, int]
"""(level, index)"""


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of sibling hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def combine(subtrees: Sequence[bytes]) -> bytes:
    """The hash over adjacent subtrees, largest first, as the right edge of a tree has them; at least one."""
    *rest, root = subtrees
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


def root_of(frontier: Sequence[bytes]) -> bytes:
    return combine(frontier) if frontier else EMPTY_ROOT


class Frontier:
    """The right edge of a growing tree: the roots of its perfect subtrees, largest first, one per bit set in size."""

    def __init__(self, *, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtrees = list(subtrees)
        if len(self.subtrees) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees, not {len(self.subtrees)}")

    @classmethod
    def unpack(cls, *, size: int, packed: bytes) -> "Frontier":
        return cls(size=size, subtrees=[packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)])

    def pack(self) -> bytes:
        return b"".join(self.subtrees)

    @property
    def root(self) -> bytes:
        return root_of(self.subtrees)

    def append(self, leaf_hash: bytes) -> list[tuple[Node, bytes]]:
        """Add a leaf. Returns the nodes above it that it completed, lowest first."""
        completed: list[tuple[Node, bytes]] = []
        node, level, position = leaf_hash, 0, self.size
        while position & 1:
            node = node_hash(self.subtrees.pop(), node)
            level, position = level + 1, position >> 1
            completed.append(((level, position), node))
        self.subtrees.append(node)
        self.size += 1
        return completed


def subtrees_of(start: int, end: int) -> Iterator[Node]:
    """The complete subtrees over leaves ``[start, end)``, left to right, for a range as RFC 6962 splits trees."""
    while start < end:
        level = (end - start).bit_length() - 1  # a split range starts at a multiple of its length rounded up
        yield level, start >> level
        start += 1 << level


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_path(index: int, size: int) -> list[list[Node]]:
    """What proves leaf ``index`` in a tree of ``size``: for each hash of the proof, the subtrees it is made of."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[list[Node]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(list(subtrees_of(middle, end)))
            end = middle
        else:
            path.append(list(subtrees_of(start, middle)))
            start = middle
    path.reverse()
    return path


def consistency_path(first: int, second: int) -> list[list[Node]]:
    """What proves that a tree of ``second`` leaves begins with the tree of its ``first`` leaves, ``0 < first``."""
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} does not extend one of {first}")
    path: list[list[Node]] = []
    start, end, known = 0, second, True
    while first < end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(list(subtrees_of(middle, end)))
            end = middle
        else:
            path.append(list(subtrees_of(start, middle)))
            start, known = middle, False
    if not known:
        path.append(list(subtrees_of(start, end)))
    path.reverse()
    return path


def resolve(path: Iterable[Sequence[Node]], read: Callable[[Node], bytes]) -> list[bytes]:
    """The hashes of a path, given a reader of nodes."""
    return [combine([read(node) for node in subtrees]) for subtrees in path]
