"""Processes known by identity, not by number: a recycled pid is never signalled.

Linux only (`/proc`, pidfd). Imports the standard library alone, since it also runs before anything is installed.
"""

import errno
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Steps = Sequence[tuple[int, float]]
"""Signals to send one after the other, each with its wait in seconds."""


def boot_id() -> str:
    """The identity of this boot of the machine; start times below count from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None when there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # The command name stands in parentheses and may itself contain spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process: its pid, and what tells it from a later process with the same pid."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """The identity of a running process; None when it is gone."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid=pid, start_ticks=ticks, boot_id=boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks

    def signal(self, number: int) -> bool:
        """Send a signal to this very process; False when it is gone. Race-free: the pidfd is held across the check."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError as error:
            if error.errno in {errno.ESRCH, errno.EINVAL}:
                return False
            raise
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def wait(self, *, timeout_s: float) -> bool:
        """Wait until the process is gone (it need not be a child); False when the time is over first."""
        deadline = time.monotonic() + timeout_s
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return True
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            while self.alive():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                poller.poll(min(left_s, 1.0) * 1000)
        finally:
            os.close(descriptor)
        return True

    def stop(self, *, steps: Steps) -> bool:
        """Send signals one after the other, each with its wait in seconds, until the process is gone."""
        for number, timeout_s in steps:
            if not self.signal(number) or self.wait(timeout_s=timeout_s):
                return True
        return not self.alive()

    def write(self, path: Path) -> None:
        """Leave the identity in a pid file, atomically."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Identity | None":
        """The identity in a pid file; None when there is no file or it does not read as one."""
        try:
            found = json.loads(path.read_text())
            return cls(pid=int(found["pid"]), start_ticks=int(found["start_ticks"]), boot_id=str(found["boot_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def stop_child(process: subprocess.Popen[bytes], *, steps: Steps) -> bool:
    """Send a child of ours signals one after the other, each with its wait in seconds, until it is gone."""
    for number, timeout_s in steps:
        if process.poll() is not None:
            return True
        process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            continue
        return True
    return process.poll() is not None


def tail(path: Path, *, lines: int = 3, limit_bytes: int = 4096) -> str:
    """The last lines of a log as one line, for an error message; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())
