"""The whole product as one set of real processes: PostgreSQL, Redis, the rack, web, worker and beat.

`make up`, the journey tests and the benchmarks start the same thing, each in a state folder and on ports of its own:

    with Stack(state_dir=folder, fast=True, fleet="small", instant=True) as stack:
        requests.get(stack.url); stack.kill("worker"); stack.manage("check")
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from embedded.child import Child, describe_exit
from embedded.demo import REPOSITORY, Login, Steps, logins
from embedded.environment import inherited_environment, make_state_folders, platform_environment
from embedded.errors import EmbeddedError
from embedded.places import free_port, port_taken, require_room
from embedded.postgres import Postgres
from embedded.prepare import prepare_demonstration, prepare_platform
from embedded.processes import Identity, tail
from embedded.programs import HOST, command_lines, site_queues
from embedded.rack import RackFile
from embedded.readiness import answers_healthy, lab_ready
from embedded.redis import Redis
from embedded.supervision import Supervision

ALL = ("lab", "web", "worker", "beat")
STOP_ORDER = ("beat", "worker", "web", "lab", "redis", "postgres")
READY_TIMEOUT_S = 120
WARM_STOP_S = 20.0
"""A worker may finish its step in this time; a step is a lease, so what is cut off is done again."""


class Stack:
    """One set of processes. `start()` returns when it serves; `stop()` ends all it started, and nothing else."""

    def __init__(
        self,
        *,
        state_dir: Path,
        port: int | None = None,
        fast: bool = False,
        processes: Sequence[str] = ALL,
        fleet: str = "demo",
        node_count: int | None = None,
        instant: bool = False,
        ipmi: str = "none",
        web_workers: int = 1,
        worker_threads: int = 16,
        database_url: str | None = None,
        redis_url: str | None = None,
        extra: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """What to run, and where.

        `port` None takes a free one. `fast` gives up durability: for tests. `fleet`, `node_count` (instead of a fleet),
        `instant` (boot times zero) and `ipmi` (none, some, all) say how the rack is made, once. `database_url` and
        `redis_url` name servers of your own instead of embedded ones. `extra` are further settings (CHAPEK_*).
        """
        self.state_dir = Path(state_dir).resolve()
        self.port = port
        self.fast = fast
        self.processes = tuple(processes)
        self.web_workers = web_workers
        self.worker_threads = worker_threads
        self.postgres = None if database_url else Postgres(state_dir=self.state_dir, fast=fast)
        self.redis = None if redis_url else Redis(state_dir=self.state_dir, durable=not fast)
        self.rack = RackFile(
            path=self.state_dir / "rack.json", fleet=fleet, node_count=node_count, instant=instant, ipmi=ipmi
        )
        self.environment: dict[str, str] = {}
        self._urls = (database_url, redis_url)
        self._extra = dict(extra or {})
        self._say = say
        self.supervision = Supervision(say=say)
        self._lock_file: IO[str] | None = None

    @property
    def url(self) -> str:
        """The portal's address, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    @property
    def logins(self) -> dict[str, Login]:
        """The demonstration log-ins: `tenant` and `operator`."""
        return logins(self.state_dir / "logins.json")

    @property
    def names(self) -> tuple[str, ...]:
        """The programs that were started, in the order of their start."""
        return tuple(self.supervision.programs)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start everything in order and wait until it serves; on failure stop what was started.

        Raises EmbeddedError with one line that says what is in the way.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def interrupt(self) -> None:
        """Let a start that is under way in another thread end early, with StoppedError."""
        self.supervision.stopping.set()

    def stop(self) -> None:
        """Stop everything in order, each with a bound. Safe to call twice."""
        self.supervision.stop(order=STOP_ORDER)
        if self._lock_file is not None:
            (self.state_dir / "supervisor.pid").unlink(missing_ok=True)
            self._lock_file.close()
            self._lock_file = None

    def remove(self) -> None:
        """Stop, and delete what lies outside of the state folder: for tests, whose folder goes away by itself."""
        self.stop()
        if self.postgres is not None:
            self.postgres.remove()

    def pid(self, name: str) -> int | None:
        """The pid of a program, None when it is down."""
        return self.supervision.pid(name)

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.supervision.programs[name].log_path

    def kill(self, name: str, number: int = signal.SIGKILL, *, keep_down: bool = False) -> None:
        """Send one program a signal. The supervisor starts it again, unless `keep_down` (then: `restart`)."""
        self.supervision.kill(name, number, keep_down=keep_down)

    def restart(self, name: str) -> None:
        """Stop one program in order, if it runs, and start it."""
        self.supervision.restart(name)

    def manage(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with this stack's settings; raises CalledProcessError with its output when it fails."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )

    def _start(self) -> None:
        self.supervision.begin()
        require_room(self.state_dir, gib=1 if self.fast else 2)
        make_state_folders(self.state_dir)
        self._take_lock()
        if self.port is None:
            self.port = free_port(HOST)
        self._require_port()
        if self.postgres is not None:
            self.supervision.add("postgres", self.postgres)
        if self.redis is not None:
            self.supervision.add("redis", self.redis)
        if self.postgres is not None:
            self.postgres.create_database()
        self._settings()
        steps = Steps(state_dir=self.state_dir, environment=self.environment, stopping=self.supervision.stopping)
        prepare_platform(steps=steps, say=self._say)
        if "lab" in self.processes:
            prepare_demonstration(steps=steps, rack=self.rack, boot_url=self.url, logins=self.logins, say=self._say)
            self.environment.setdefault("CHAPEK_WORKER_QUEUES", ",".join(["control", *site_queues(self.rack.sites())]))
        commands = command_lines(
            port=self.port or 0,
            state_dir=self.state_dir,
            rack=self.rack.path,
            queues=self.environment.get("CHAPEK_WORKER_QUEUES", "control"),
            web_workers=self.web_workers,
            worker_threads=self.worker_threads,
        )
        warm_stop_s = 5.0 if self.fast else WARM_STOP_S
        for name in self.processes:
            child = Child(
                arguments=commands[name],
                environment=self.environment,
                log_path=self.state_dir / "log" / f"{name}.log",
                cwd=REPOSITORY,
                stop_steps=[(signal.SIGTERM, warm_stop_s if name == "worker" else 6.0), (signal.SIGQUIT, 2.0)],
            )
            self.supervision.add(name, child)
        self._await_ready()
        self.supervision.watch()

    def _take_lock(self) -> None:
        lock_file = (self.state_dir / "lock").open("a")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.close()
            raise EmbeddedError(f"another supervisor runs on {self.state_dir}") from None
        self._lock_file = lock_file
        if mine := Identity.of(os.getpid()):
            mine.write(self.state_dir / "supervisor.pid")

    def _require_port(self) -> None:
        if self.port is not None and port_taken(HOST, self.port):
            raise EmbeddedError(f"port {self.port} is taken: choose another with CHAPEK_PORT")

    def _settings(self) -> None:
        database_url, redis_url = self._urls
        if self.postgres is not None:
            database_url = self.postgres.url()
        if self.redis is not None:
            redis_url = self.redis.url
        self.environment = inherited_environment() | platform_environment(
            state_dir=self.state_dir,
            database_url=database_url or "",
            redis_url=redis_url or "",
            public_url=self.url,
            extra={"CHAPEK_LOGINS_FILE": str(self.state_dir / "logins.json")} | self._extra,
        )

    def _await_ready(self) -> None:
        """Wait for the portal's health and the rack's BMCs; a program that ends meanwhile will not come up."""
        checks: dict[str, Callable[[], bool]] = {}
        if "web" in self.processes:
            checks["web"] = lambda: answers_healthy(HOST, int(self.port or 0))
        if "lab" in self.processes:
            checks["lab"] = lambda: lab_ready(self.state_dir / "lab", pid=self.pid("lab"))
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        wait_s = 0.05
        while checks:
            for name, program in self.supervision.programs.items():
                if (code := program.exit_code()) is not None:
                    said = tail(program.log_path, lines=1)
                    if "address already in use" in said:
                        self._require_port()
                    raise EmbeddedError(f"{name} ended ({describe_exit(code)}): {said} (log: {program.log_path})")
            checks = {name: ready for name, ready in checks.items() if not ready()}
            if checks and time.monotonic() > deadline_s:
                name = next(iter(checks))
                raise EmbeddedError(f"{name} did not answer in {READY_TIMEOUT_S} s (log: {self.log(name)})")
            self.supervision.stopping.wait(wait_s if checks else 0)
            wait_s = min(0.5, wait_s * 1.2)
            self.supervision.go_on()
