"""Programs watched together: what ended by itself is started again, what is stopped is stopped in order."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from embedded.child import Program, Restarts, describe_exit
from embedded.errors import EmbeddedError, StoppedError
from embedded.lifeline import Lifeline
from embedded.logs import rotate

WATCH_S = 0.25


class Supervision:
    """A set of named programs. Safe to use from several threads."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        """`say` is told, line by line, what a person ought to know."""
        self.programs: dict[str, Program] = {}
        self.failed = threading.Event()
        """Set when a program had to be given up."""
        self.stopping = threading.Event()
        """Set to end a start that is under way early."""
        self._say = say
        self._restarts: dict[str, Restarts] = {}
        self._down: set[str] = set()
        self._guard = threading.RLock()
        self._lifeline: Lifeline | None = None
        self._watcher: threading.Thread | None = None

    def begin(self) -> None:
        """Forget an earlier run; from here on a kill of this process takes its programs with it."""
        self.stopping.clear()
        self.failed.clear()
        self._down.clear()
        self._restarts.clear()
        self._lifeline = Lifeline()

    def go_on(self) -> None:
        """Raises StoppedError when somebody asked to stop."""
        if self.stopping.is_set():
            raise StoppedError("stopped while starting")

    def add(self, name: str, program: Program) -> None:
        """Take a program in and start it."""
        with self._guard:
            self.programs[name] = program
            self._launch(name)

    def watch(self) -> None:
        """From now on look after the programs, in a thread."""
        self._watcher = threading.Thread(target=self._watch, name="supervision", daemon=True)
        self._watcher.start()

    def stop(self, *, order: Sequence[str]) -> None:
        """Stop all programs in order, each with a bound, and forget them. Safe to call twice."""
        self.stopping.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
            self._watcher = None
        with self._guard:
            for name in [name for name in order if name in self.programs]:
                self.programs.pop(name).stop()
            if self._lifeline is not None:
                self._lifeline.release()
                self._lifeline = None

    def pid(self, name: str) -> int | None:
        with self._guard:
            return self.programs[name].pid

    def kill(self, name: str, number: int = signal.SIGKILL, *, keep_down: bool = False) -> None:
        """Send one program a signal. Raises EmbeddedError when it does not run."""
        with self._guard:
            pid = self.programs[name].pid
            if pid is None or self.programs[name].exit_code() is not None:
                raise EmbeddedError(f"{name} does not run")
            if keep_down:
                self._down.add(name)
            os.kill(pid, number)  # our own child, not yet reaped: the number is surely its own

    def restart(self, name: str) -> None:
        """Stop one program in order, if it runs, and start it."""
        with self._guard:
            self.programs[name].stop()
            self._down.discard(name)
            self._launch(name)

    def tend(self) -> None:
        """One look at every program: start again what ended by itself, with growing waits; keep the logs bounded."""
        with self._guard:
            for name, program in self.programs.items():
                if self.stopping.is_set():
                    return
                rotate(program.log_path)
                if name not in self._down:
                    self._tend(name, program)

    def _watch(self) -> None:
        while not self.stopping.wait(WATCH_S):
            self.tend()

    def _launch(self, name: str) -> None:
        self.go_on()
        program = self.programs[name]
        program.start()
        self._restarts.setdefault(name, Restarts()).started(now_s=time.monotonic())
        if self._lifeline is not None:
            self._lifeline.hold(program.pid)

    def _tend(self, name: str, program: Program) -> None:
        restarts, now_s = self._restarts[name], time.monotonic()
        if restarts.due_at_s is not None:
            if now_s < restarts.due_at_s:
                return
            try:
                program.stop()  # forget the dead one
                self._launch(name)
            except (EmbeddedError, OSError) as error:
                self._say(str(error))
                self._again(name, program, now_s=now_s, how="did not start")
            return
        code = program.exit_code()
        if code is not None:
            self._again(name, program, now_s=now_s, how=f"ended ({describe_exit(code)})")

    def _again(self, name: str, program: Program, *, now_s: float, how: str) -> None:
        restarts = self._restarts[name]
        wait_s = restarts.ended(now_s=now_s)
        if wait_s is None:
            self._down.add(name)
            self._say(f"{name} {how} {restarts.in_a_row} times in a row: given up (log: {program.log_path})")
            self.failed.set()
        else:
            self._say(f"{name} {how}: starting it again in {wait_s:g} s (log: {program.log_path})")
