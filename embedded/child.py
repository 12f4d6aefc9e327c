"""One supervised program: in a group of its own, logged, stopped within a bound; and when to start it again."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from embedded.processes import Steps

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Wait before each start in a row; after the last one the supervisor gives up."""

STEADY_S = 60.0
"""A program that ran this long is counted as sound again."""


class Program(Protocol):
    """What the supervisor needs of a program; PostgreSQL and Redis bring their own way of starting and stopping."""

    log_path: Path

    @property
    def pid(self) -> int | None: ...

    def start(self) -> object: ...

    def stop(self) -> None: ...

    def exit_code(self) -> int | None:
        """The code with which it ended by itself (negative: a signal); None while it runs or was never started."""


class Child:
    """A program given by its command line."""

    def __init__(
        self, *, arguments: Sequence[str], environment: Mapping[str, str], log_path: Path, cwd: Path, stop_steps: Steps
    ) -> None:
        """`stop_steps`: the signals that end it and the seconds each may take; what is left then is killed."""
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.log_path = log_path
        self.cwd = cwd
        self.stop_steps = stop_steps
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def start(self) -> "Child":
        with self.log_path.open("ab") as log:
            os.fchmod(log.fileno(), 0o600)
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops its children in order
            )
        return self

    def exit_code(self) -> int | None:
        if self.process is None:
            return None
        if self.process.returncode is None and self._ended(timeout_s=0):
            self._bury()
        return self.process.returncode

    def stop(self) -> None:
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            for number, timeout_s in self.stop_steps:
                process.send_signal(number)
                if self._ended(timeout_s=timeout_s):
                    break
            self._bury()
        self.process = None

    def _ended(self, *, timeout_s: float) -> bool:
        """Whether the program has ended; it stays a zombie, so that its number remains ours."""
        assert self.process is not None  # noqa: S101 - both callers looked
        deadline_s = time.monotonic() + timeout_s
        while os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(0.02)
        return True

    def _bury(self) -> None:
        """Kill what is left of the program and its group, while the number is still ours, then reap it."""
        assert self.process is not None  # noqa: S101 - both callers looked
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Restarts:
    """When to start a program again after an end nobody asked for; bounded."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self.started_at_s = 0.0
        self.due_at_s: float | None = None
        """On the monotonic clock; None when it runs, is not wanted, or was given up."""

    def started(self, *, now_s: float) -> None:
        self.started_at_s, self.due_at_s = now_s, None

    def ended(self, *, now_s: float) -> float | None:
        """The wait in seconds before the next start; None to give up."""
        if now_s - self.started_at_s > STEADY_S:
            self.in_a_row = 0
        self.in_a_row += 1
        if self.in_a_row > len(BACKOFF_S):
            self.due_at_s = None
            return None
        wait_s = BACKOFF_S[self.in_a_row - 1]
        self.due_at_s = now_s + wait_s
        return wait_s


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
