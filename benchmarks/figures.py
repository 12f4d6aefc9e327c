"""What a benchmark yields: rows of a name, a value, its unit, the target and the best mark known elsewhere."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published figure. ``better`` is the good side of the target; ``mark`` names another system's figure."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    mark: str = ""

    @property
    def verdict(self) -> str:
        """ok or short; a dash where no target was set."""
        if self.target is None:
            return "-"
        good = self.value <= self.target if self.better == "lower" else self.value >= self.target
        return "ok" if good else "short"

    def as_row(self) -> str:
        sign = "<=" if self.better == "lower" else ">="
        target = f"{sign} {self.target:g}" if self.target is not None else "-"
        return f"{self.name:<52} {self.value:>12.3f} {self.unit:<16} {target:>10}  {self.verdict:<5}  {self.mark}"


Benchmark = Callable[[], Iterator[Figure]]
HEADER = f"{'figure':<52} {'value':>12} {'unit':<16} {'target':>10}  {'':<5}  best mark elsewhere"


def write(figure: Figure, path: Path) -> None:
    """Append the figure as one JSON line."""
    with path.open("a") as file:
        file.write(json.dumps({**asdict(figure), "verdict": figure.verdict}) + "\n")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]
