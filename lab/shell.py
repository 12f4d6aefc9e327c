"""Running a node's commands: a real /bin/sh in the node's sandbox, with bounds on time, processes, CPU and disk."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lab.sandbox import SH, Sandbox

WALL_CLOCK_S = 3600
WATCH_EVERY_S = 5.0
DISK_QUOTA_BYTES = 4 * 1024**3
PROCESSES = 4096  # counted by the kernel over all commands of one uid
CPU_S = 900

# dash names the limit on processes -p, bash -u. A limit that is already lower stays.
_LIMITS = (
    f'ulimit -c 0 2>/dev/null; ulimit -t {CPU_S} 2>/dev/null; ulimit -f "$LAB_FILE_BLOCKS" 2>/dev/null;'
    f" ulimit -p {PROCESSES} 2>/dev/null || ulimit -u {PROCESSES} 2>/dev/null;"
    " unset LAB_FILE_BLOCKS; umask 022;"
)
_RUN = _LIMITS + ' exec /bin/sh -c "$1"'
_LOGIN = _LIMITS + " exec /bin/sh"
_ON_TERMINAL = 'exec <>"$LAB_TTY" >&0 2>&0; unset LAB_TTY; '


@dataclass(kw_only=True)
class NodeShell:
    """Starts commands of one node. `largest_file_bytes` bounds a single file (the largest drive, sparse)."""

    sandbox: Sandbox
    node_dir: Path
    largest_file_bytes: int
    running: set["Command"] = field(default_factory=set)

    def environment(self, *, user: str, home: Path) -> dict[str, str]:
        """All that a command gets to know; the lab's own environment is not passed on."""
        return {
            "PATH": str(self.sandbox.shims),
            "HOME": str(home),
            "USER": user,
            "LOGNAME": user,
            "SHELL": SH,
            "LANG": "C",
            "LC_ALL": "C",
            "TMPDIR": str(self.node_dir / "tmp"),
            "LAB_NODE": str(self.node_dir),
            "LAB_FILE_BLOCKS": str(self.largest_file_bytes // 512 + 2048),
        }

    async def start(self, *, command: str | None, user: str, home: Path, terminal: "Terminal | None") -> "Command":
        """Start `command` by `sh -c`, or a log-in shell when None. Raises OSError when the host refuses."""
        environment = self.environment(user=user, home=home)
        script = _LOGIN if command is None else _RUN
        if terminal is not None:
            environment |= {"LAB_TTY": terminal.name, "TERM": terminal.kind, "PS1": f"{user}@{self.node_dir.name}:$ "}
            script = _ON_TERMINAL + script
            if self.sandbox.uid is not None:
                os.chown(terminal.name, self.sandbox.uid, -1)
        pipe = subprocess.DEVNULL if terminal else subprocess.PIPE
        arguments = [SH, "-c", script, "sh", *([] if command is None else [command])]
        child = await self._spawn(arguments, environment, home, pipe)
        running = Command(child=child, node_dir=self.node_dir)
        self.running.add(running)
        running.watch(on_end=lambda: self.running.discard(running))
        return running

    async def run(self, *, script: str, data: bytes = b"", timeout_s: float = 30.0) -> tuple[int, bytes]:
        """Run the lab's own small `script` inside the sandbox with `data` on stdin; exit status and stdout.

        The lab changes files that node commands may have touched only in this way: a planted link then reaches no
        further than the node itself could. Raises TimeoutError.
        """
        environment = self.environment(user="root", home=self.node_dir)
        child = await self._spawn([SH, "-c", script], environment, self.node_dir, subprocess.PIPE)
        running = Command(child=child, node_dir=self.node_dir)
        self.running.add(running)
        running.watch(on_end=lambda: self.running.discard(running))
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await asyncio.to_thread(child.communicate, data)
                return await running.wait(), output
        finally:
            running.kill()

    def kill_all(self) -> None:
        """What pulling the plug does: every command of this node ends now."""
        for command in list(self.running):
            command.kill()

    async def _spawn(
        self, arguments: list[str], environment: dict[str, str], directory: Path, pipe: int
    ) -> subprocess.Popen[bytes]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[subprocess.Popen[bytes]] = loop.create_future()

        def deliver(child: subprocess.Popen[bytes] | None, error: Exception | None) -> None:
            if future.cancelled():
                if child is not None:
                    child.kill()
            elif error is not None or child is None:
                future.set_exception(error or OSError("no child"))
            else:
                future.set_result(child)

        def work() -> None:
            child, failure = None, None
            try:
                self.sandbox.confine_thread(node_dir=self.node_dir)
                child = self._popen(arguments, environment, directory, pipe)
            except (OSError, subprocess.SubprocessError) as error:
                failure = error
            loop.call_soon_threadsafe(deliver, child, failure)

        # A fresh thread each time: the fence cannot be taken off a thread again.
        threading.Thread(target=work, name=f"spawn-{self.node_dir.name}", daemon=True).start()
        return await future

    def _popen(
        self, arguments: list[str], environment: dict[str, str], directory: Path, pipe: int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.sandbox.drop, *arguments],
            env=environment,
            cwd=directory,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL if pipe == subprocess.DEVNULL else subprocess.PIPE,
            start_new_session=True,
        )


class Command:
    """One running command and its process group."""

    def __init__(self, *, child: subprocess.Popen[bytes], node_dir: Path) -> None:
        self.child = child
        self._node_dir = node_dir
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._watchdog: asyncio.Task[None] | None = None

    @property
    def stdin(self) -> IO[bytes] | None:
        return self.child.stdin

    def watch(self, *, on_end: Callable[[], object]) -> None:
        """Follow the process to its end; then end what is left of its group, and call `on_end`."""
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self.child.pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            # The leader is not reaped yet, so its number cannot belong to a stranger.
            self._signal_group()
            status = self.child.wait()
            if self._watchdog is not None:
                self._watchdog.cancel()
            if not self._ended.done():
                self._ended.set_result(status)
            on_end()

        loop.add_reader(descriptor, ended)
        self._watchdog = loop.create_task(self._bound())

    async def wait(self) -> int:
        """Exit status; negative is the signal that ended it."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        if not self._ended.done():
            self._signal_group()

    def _signal_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)

    async def _bound(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WALL_CLOCK_S
        while loop.time() < deadline:
            await asyncio.sleep(WATCH_EVERY_S)
            if await asyncio.to_thread(disk_use_bytes, self._node_dir) > DISK_QUOTA_BYTES:
                break
        self.kill()


class Terminal:
    """A pseudo terminal; the lab keeps the master end. Raises OSError when the host has none left."""

    def __init__(self, *, kind: str, columns: int, rows: int) -> None:
        self.master, slave = os.openpty()
        self.kind = kind
        self.name = os.ttyname(slave)
        self._slave = slave
        self.resize(columns=columns, rows=rows)

    def resize(self, *, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows or 24, columns or 80, 0, 0)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def close_slave(self) -> None:
        """Let go of the lab's handle on the child's end, so that the master reads an end of file."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def close(self) -> None:
        self.close_slave()
        os.close(self.master)


def disk_use_bytes(directory: Path) -> int:
    """Bytes really taken under `directory` (sparse holes do not count); unreadable parts count as nothing."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118 - hot loop over plain names
    return total
