"""The stored tree: nodes read back from full tiles and, at the right edge, from the newest rows."""

from collections.abc import Iterable, Sequence

from compliance.audit.errors import LogInconsistent
from compliance.audit.merkle import HASH_BYTES, Node, node_hash, resolve
from compliance.audit.models import AuditEvent, Tile

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

Place = tuple[int, int]
"""(tile level, index of the tile in that level)"""


def entries(*, log_tenant_id: int | None, level: int, start: int, end: int) -> list[bytes]:
    """Entries ``[start, end)`` of one tile level, from the rows they come from: leaf hashes, or roots of tiles below.

    Raises LogInconsistent when one is missing.
    """
    if level == 0:
        rows = AuditEvent.objects.filter(log_tenant_id=log_tenant_id, index__gte=start, index__lt=end)
        found = list(rows.order_by("index").values_list("leaf_hash", flat=True))
    else:
        tiles = Tile.objects.filter(log_tenant_id=log_tenant_id, level=level - 1, index__gte=start, index__lt=end)
        found = list(tiles.order_by("index").values_list("root", flat=True))
    if len(found) != end - start:
        raise LogInconsistent(f"level {level} of log {log_tenant_id} misses entries between {start} and {end}")
    return [bytes(value) for value in found]


class StoredTree:
    """One log at one size. Reads each tile once; a proof in a tree of a million leaves takes three tiles."""

    def __init__(self, *, log_tenant_id: int | None, size: int) -> None:
        self.log_tenant_id = log_tenant_id
        self.size = size
        self._tiles: dict[Place, list[bytes]] = {}
        self._nodes: dict[Node, bytes] = {}

    def proofs(self, paths: Sequence[Sequence[Sequence[Node]]]) -> list[list[bytes]]:
        """The hashes of several paths (``merkle.inclusion_path``, ``consistency_path``): two queries per tile level."""
        self._load({_place(node) for path in paths for subtrees in path for node in subtrees})
        return [resolve(path, self._read) for path in paths]

    def _read(self, node: Node) -> bytes:
        known = self._nodes.get(node)
        if known is not None:
            return known
        level, index = node
        if level % TILE_HEIGHT == 0:
            value = self._tiles[_place(node)][index % TILE_WIDTH]
        else:
            value = node_hash(self._read((level - 1, 2 * index)), self._read((level - 1, 2 * index + 1)))
        self._nodes[node] = value
        return value

    def _load(self, places: Iterable[Place]) -> None:
        wanted: dict[int, set[int]] = {}
        for level, index in places:
            if (level, index) not in self._tiles:
                wanted.setdefault(level, set()).add(index)
        for level, indexes in wanted.items():
            stored = Tile.objects.filter(log_tenant_id=self.log_tenant_id, level=level, index__in=indexes)
            for index, packed in stored.values_list("index", "hashes"):
                hashes = bytes(packed)
                self._tiles[level, index] = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
            for index in indexes:
                if (level, index) not in self._tiles:
                    self._tiles[level, index] = self._edge(level, index)

    def _edge(self, level: int, index: int) -> list[bytes]:
        """The incomplete tile at the right edge of a level."""
        start = index * TILE_WIDTH
        end = min(self.size >> (level * TILE_HEIGHT), start + TILE_WIDTH)
        return entries(log_tenant_id=self.log_tenant_id, level=level, start=start, end=end)


def _place(node: Node) -> Place:
    level, index = node
    tile_level, height = divmod(level, TILE_HEIGHT)
    return tile_level, index >> (TILE_HEIGHT - height)
