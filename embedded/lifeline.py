"""Stops the children of a supervisor that was killed before it could.

The supervisor writes one line per child it starts; when its end of the pipe closes without the word "done", each child
that still runs is stopped by its identity. One small process serves all children, whichever thread started them (a
parent-death signal would follow the thread, not the process).
"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict

from embedded.processes import Identity

STOP_STEPS = [(signal.SIGTERM, 5.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)]


class Lifeline:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "embedded.lifeline"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def hold(self, pid: int | None) -> None:
        """Name a child that must not outlive us. One that is gone already is none."""
        identity = None if pid is None else Identity.of(pid)
        if identity is not None:
            self._say(json.dumps(asdict(identity)))

    def release(self) -> None:
        """All children were stopped in order: nothing is left to do."""
        self._say("done")
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)

    def _say(self, line: str) -> None:
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # somebody killed the guard; the supervisor still stops its children itself


def main() -> None:
    """Read children until the supervisor is gone; then stop what is left, the last started first."""
    held: list[Identity] = []
    for line in sys.stdin:
        if line.strip() == "done":
            return
        held.append(Identity(**json.loads(line)))
    for identity in reversed(held):
        identity.stop(steps=STOP_STEPS)


if __name__ == "__main__":
    main()
