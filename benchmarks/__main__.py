"""``make bench`` and ``make bench ONLY=name``: run benchmarks, print one row per figure, keep them as JSON lines."""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.figures import HEADER, Benchmark, write
from benchmarks.reserve import reservations_at_once

BENCHMARKS: dict[str, Benchmark] = {"reserve": reservations_at_once}
RESULTS = Path(__file__).resolve().parents[1] / "artefacts" / "bench"


def main(only: str = "") -> int:
    """Returns 0 also when a figure is short: a benchmark prints what it measured, it does not gate."""
    unknown = [name for name in only.split(",") if name and name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl"
    print(HEADER)
    for name, benchmark in BENCHMARKS.items():
        if not only or name in only.split(","):
            for figure in benchmark():
                print(figure.as_row(), flush=True)
                write(figure, path)
    print(f"kept in {path.relative_to(RESULTS.parents[1])}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="names of benchmarks, separated by commas")
    sys.exit(main(parser.parse_args().only))
