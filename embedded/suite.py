"""`make test`, `make e2e`, `make lab`, `make soak`: runs pytest in passes, then repeats the closing line of each.

Tests without processes run side by side; those that start processes of their own run after them, one at a time, since
they would only take the cores from each other.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from embedded.demo import REPOSITORY

NOTHING_COLLECTED = 5
MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One run of pytest."""

    title: str
    arguments: tuple[str, ...]
    may_be_empty: bool = False


def side_by_side() -> tuple[str, str, str, str]:
    """pytest-xdist's arguments: a worker per core we may use, at least two."""
    workers = min(MOST_WORKERS, max(2, len(os.sched_getaffinity(0))))
    return ("-n", str(workers), "--dist", "worksteal")


def passes(suite: str) -> tuple[Pass, ...]:
    """The passes of a suite, in order."""
    if suite == "test":
        return (
            Pass(title="tests", arguments=(*side_by_side(), "-m", "not processes and not e2e and not soak")),
            Pass(
                title="tests with processes",
                arguments=("-m", "processes and not e2e and not soak"),
                may_be_empty=True,
            ),
        )
    if suite == "lab":
        return (Pass(title="the emulated rack", arguments=("-m", "not e2e and not soak", "tests/lab")),)
    return (Pass(title=suite, arguments=("-m", suite)),)


def run(one: Pass, extra: list[str]) -> tuple[int, str]:
    """Run one pass, its output passed through; its exit code and closing line."""
    command = [sys.executable, "-m", "pytest", "-q", *one.arguments, *extra]
    last = ""
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            last = line.strip() or last
    code = process.returncode
    return (0 if code == NOTHING_COLLECTED and (one.may_be_empty or extra) else code), last


def main(arguments: list[str]) -> int:
    suite, *extra = arguments
    # Ctrl-C reaches pytest too, which ends in order; a handler (unlike "ignore") is not inherited by it.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    closing, worst, ran_any = [], 0, False
    for one in passes(suite):
        code, last = run(one, extra)
        worst = max(worst, abs(code))
        ran_any = ran_any or "no tests ran" not in last
        closing.append(f"{one.title}: {last}")
        if code == 2:
            break
    sys.stdout.write("\n" + "\n".join(closing) + "\n")
    return worst if ran_any or worst else NOTHING_COLLECTED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
