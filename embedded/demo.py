"""What is made once and kept: the schema, static files, the rack, images, the first log-ins.

Each step has a stamp of what it was made from, so that a second start skips it and a changed tree does not.
"""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import EmbeddedError, StoppedError
from embedded.places import write_private
from embedded.processes import stop_child, tail

REPOSITORY = Path(__file__).resolve().parent.parent
STEP_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Login:
    email: str
    password: str


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """One hash over texts and files (path and content; a missing file counts as such)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes() if part.is_file() else b"\0absent"
            total.update(f"{part}\0{len(content)}\0".encode() + content)
        else:
            content = part.encode() if isinstance(part, str) else part
            total.update(f"{len(content)}\0".encode() + content)
    return total.hexdigest()


def source_files(pattern: str) -> list[Path]:
    """Files of the product's own tree, in a fixed order."""
    rooms = [REPOSITORY / name for name in ("platform", "billing", "provisioning", "networks", "compliance")]
    return sorted(path for room in rooms for path in room.rglob(pattern) if path.is_file())


def migration_files() -> list[Path]:
    return [path for path in source_files("*.py") if path.parent.name == "migrations"]


def static_files() -> list[Path]:
    return [path for path in source_files("*") if "static" in path.parts]


def logins(path: Path) -> dict[str, Login]:
    """The two demonstration log-ins, with passwords made at the first call and kept in a 0600 file."""
    if not path.exists():
        made = {role: {"email": f"{role}@chapek.example", "password": password()} for role in ("tenant", "operator")}
        write_private(path, json.dumps(made, indent=1))
    return {role: Login(**entry) for role, entry in json.loads(path.read_text()).items()}


def password() -> str:
    """Sixteen letters and digits nobody mistakes for another, in groups: about 78 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))


class Steps:
    """Runs steps in one state folder and remembers what each was made from."""

    def __init__(self, *, state_dir: Path, environment: Mapping[str, str], stopping: threading.Event) -> None:
        """`stopping` cuts a step short."""
        self.state_dir = state_dir
        self.stopping = stopping
        self.environment = dict(environment)
        self.stamps = state_dir / "stamps.json"

    def current(self, name: str, stamp: str, *outputs: Path) -> bool:
        """Whether the step was made from just this, and what it made is still there."""
        return self._read().get(name) == stamp and all(path.exists() for path in outputs)

    def remember(self, name: str, stamp: str) -> None:
        stamps = self._read() | {name: stamp}
        fresh = self.stamps.with_suffix(".new")
        fresh.write_text(json.dumps(stamps, indent=1))
        fresh.replace(self.stamps)

    def run(self, name: str, arguments: list[str], *, timeout_s: float = STEP_TIMEOUT_S) -> None:
        """Run a program to its end, its output in the log `<name>.log`.

        Raises EmbeddedError with the last line of the log when it fails or takes too long, StoppedError when cut short.
        """
        log_path = self.state_dir / "log" / f"{name}.log"
        with log_path.open("wb") as log:
            os.fchmod(log.fileno(), 0o600)
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=self.environment,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + timeout_s
        while process.poll() is None:
            late = time.monotonic() > deadline_s
            if late or self.stopping.wait(0.05):
                stop_child(process, steps=[(signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)])
                if late:
                    raise EmbeddedError(f"{name} took more than {timeout_s:g} s (log: {log_path})")
                raise StoppedError(f"stopped during {name}")
        if process.returncode:
            raise EmbeddedError(f"{name} failed: {tail(log_path, lines=1)} (log: {log_path})")

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self.stamps.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
