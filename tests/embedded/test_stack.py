"""The real processes, once for this module."""

import http.client
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.errors import EmbeddedError
from embedded.processes import Identity
from embedded.programs import HOST
from embedded.readiness import answers_healthy
from embedded.stack import Stack

pytestmark = pytest.mark.processes
PROGRAMS = ("postgres", "redis", "lab", "web", "worker", "beat")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def stack(said: list[str]) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="chapek-test-"))
    folder.chmod(0o711)
    running = Stack(state_dir=folder, fast=True, node_count=2, instant=True, say=said.append)
    running.start()
    yield running
    running.remove()
    shutil.rmtree(folder)


def identity(stack: Stack, name: str) -> Identity:
    found = Identity.of(stack.pid(name) or 0)
    assert found is not None, name
    return found


def wait_for_another(stack: Stack, name: str, old: Identity) -> Identity:
    deadline_s = time.monotonic() + 30
    while (new := Identity.of(stack.pid(name) or 0)) is None or new == old:
        assert time.monotonic() < deadline_s, f"{name} was not started again"
        time.sleep(0.05)
    return new


def wait_until_healthy(stack: Stack) -> None:
    deadline_s = time.monotonic() + 60
    while not answers_healthy(HOST, stack.port or 0):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_all_programs_run_and_the_portal_answers(stack: Stack) -> None:
    assert stack.names == PROGRAMS
    assert all(identity(stack, name).alive() for name in PROGRAMS)
    connection = http.client.HTTPConnection(HOST, stack.port or 0, timeout=30)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()


def test_secrets_and_logs_are_for_the_owner_alone(stack: Stack) -> None:
    private = [*(stack.state_dir / "log").iterdir(), stack.rack.path, stack.state_dir / "logins.json"]
    private += [stack.state_dir / name for name in ("secret_key", "keyring.json", "signing_key.pem")]
    assert (stack.state_dir / "log").stat().st_mode & 0o077 == 0
    for path in private:
        if path.parent.name != "log" and path.exists():
            assert path.stat().st_mode & 0o077 == 0, path


def test_no_password_is_in_a_process_list_or_a_log(stack: Stack) -> None:
    secrets = [login.password for login in stack.logins.values()]
    secrets.append(stack.environment["CHAPEK_REDIS_URL"].split(":")[2].split("@")[0])
    lines = b"".join(Path(f"/proc/{stack.pid(name)}/cmdline").read_bytes() for name in PROGRAMS).decode()
    logs = "".join(path.read_text(errors="replace") for path in (stack.state_dir / "log").iterdir())
    for secret in secrets:
        assert secret not in lines
        assert secret not in logs


@pytest.mark.parametrize("name", ["worker", "redis", "postgres", "web"])
def test_a_killed_program_is_started_again(stack: Stack, said: list[str], name: str) -> None:
    old = identity(stack, name)
    stack.kill(name)
    new = wait_for_another(stack, name, old)
    assert new.alive()
    assert any(line.startswith(f"{name} ended (signal SIGKILL): starting it again in ") for line in said)
    wait_until_healthy(stack)


def test_a_program_kept_down_stays_down_until_it_is_restarted(stack: Stack) -> None:
    old = identity(stack, "beat")
    stack.kill("beat", signal.SIGTERM, keep_down=True)
    assert old.wait(timeout_s=20) is True
    stack.supervision.tend()
    assert stack.pid("beat") == old.pid  # still the dead one
    with pytest.raises(EmbeddedError, match="beat does not run"):
        stack.kill("beat")
    stack.restart("beat")
    assert identity(stack, "beat") != old


def test_manage_works_on_this_very_database(stack: Stack) -> None:
    shown = stack.manage("showmigrations", "--plan").stdout
    assert "[X]" in shown
    assert "[ ]" not in shown


def test_a_second_start_on_the_same_folder_prepares_nothing_and_keeps_what_was_made(
    stack: Stack, said: list[str]
) -> None:
    rack, people, programs = stack.rack.path.read_text(), stack.logins, [identity(stack, name) for name in PROGRAMS]
    stack.stop()
    assert [program.alive() for program in programs] == [False] * len(PROGRAMS)
    assert not (stack.state_dir / "supervisor.pid").exists()
    said.clear()
    stack.start()
    assert said == []
    assert stack.rack.path.read_text() == rack
    assert stack.logins == people
    assert answers_healthy(HOST, stack.port or 0)
