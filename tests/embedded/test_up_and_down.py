import fcntl
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from embedded import down, places, up
from embedded.demo import logins
from embedded.errors import EmbeddedError, StoppedError
from embedded.processes import Identity
from embedded.stack import Stack


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_taken_port_names_the_setting_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EmbeddedError, match=rf"^port {port} is taken: choose another with CHAPEK_PORT$"):
            Stack(state_dir=tmp_path, port=port, fast=True).start()
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "80 80"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CHAPEK_PORT", value)
    with pytest.raises(EmbeddedError, match="CHAPEK_PORT must be a port from 1 to 65535"):
        up.configured_port()


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _path: Usage(2**40, 2**40 - 2**30, 2**30))
    with pytest.raises(EmbeddedError, match=rf"^disk full: 1\.0 GiB free under {tmp_path}, 2 GiB needed$"):
        Stack(state_dir=tmp_path).start()


def test_a_second_supervisor_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedError, match=rf"^another supervisor runs on {tmp_path}$"):
            Stack(state_dir=tmp_path, fast=True).start()
    assert not (tmp_path / "supervisor.pid").exists()


def test_a_start_that_is_interrupted_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(state_dir=tmp_path, fast=True)
    monkeypatch.setattr(Stack, "_require_port", lambda _self: stack.interrupt())
    stack.port = 1
    with pytest.raises(StoppedError):
        stack.start()
    assert stack.names == ()
    assert not (tmp_path / "supervisor.pid").exists()


def test_down_never_signals_a_process_that_took_over_the_number(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sleeper: subprocess.Popen[bytes],
) -> None:
    monkeypatch.setenv("CHAPEK_STATE_DIR", str(tmp_path))
    real = Identity.of(sleeper.pid)
    assert real is not None
    written = {"pid": real.pid, "start_ticks": real.start_ticks - 1, "boot_id": real.boot_id}
    (tmp_path / "supervisor.pid").write_text(json.dumps(written))
    assert down.main() == 0
    assert capsys.readouterr().out == "Chapek is not up\n"
    assert sleeper.poll() is None


def test_down_ends_the_supervisor_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setenv("CHAPEK_STATE_DIR", str(tmp_path))
    real = Identity.of(sleeper.pid)
    assert real is not None
    real.write(tmp_path / "supervisor.pid")
    assert down.main() == 0
    assert sleeper.wait(5) == -15


def test_up_when_up_already_says_so_and_starts_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sleeper: subprocess.Popen[bytes],
) -> None:
    monkeypatch.setenv("CHAPEK_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["make up"])
    real = Identity.of(sleeper.pid)
    assert real is not None
    real.write(tmp_path / "supervisor.pid")
    assert up.main() == 0
    assert capsys.readouterr().out == "Chapek is starting already (`make down` stops it)\n"
    (tmp_path / "address").write_text("http://127.0.0.1:8000\n")
    assert up.main() == 0
    assert capsys.readouterr().out == "Chapek is up already: http://127.0.0.1:8000 (`make down` stops it)\n"


def test_log_ins_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "logins.json"
    first = logins(path)
    assert logins(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert {login.email for login in first.values()} == {"tenant@chapek.example", "operator@chapek.example"}
    assert first["tenant"].password != first["operator"].password
    assert {len(login.password) for login in first.values()} == {19}
