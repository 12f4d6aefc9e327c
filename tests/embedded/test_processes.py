import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.processes import Identity, start_ticks, stop_child, tail

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def spawn(arguments: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with spawn(SLEEP) as process:
        yield process
        process.kill()


def identity_of(process: subprocess.Popen[bytes]) -> Identity:
    identity = Identity.of(process.pid)
    assert identity is not None
    return identity


def test_a_recycled_pid_is_never_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    real = identity_of(sleeper)
    recycled = replace(real, start_ticks=real.start_ticks - 1)
    assert recycled.alive() is False
    assert recycled.signal(signal.SIGKILL) is False
    assert recycled.stop(steps=[(signal.SIGKILL, 1.0)]) is True
    assert sleeper.poll() is None


def test_a_pid_of_an_earlier_boot_is_never_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    earlier = replace(identity_of(sleeper), boot_id="00000000-0000-0000-0000-000000000000")
    assert earlier.signal(signal.SIGKILL) is False
    assert sleeper.poll() is None


def test_stopping_goes_on_to_the_next_signal_when_the_first_is_ignored() -> None:
    with spawn(STUBBORN) as process:
        identity = identity_of(process)
        assert identity.stop(steps=[(signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0)]) is True
        assert process.wait(5) == -signal.SIGKILL


def test_a_child_that_ended_is_not_signalled_again(sleeper: subprocess.Popen[bytes]) -> None:
    assert stop_child(sleeper, steps=[(signal.SIGTERM, 5.0)]) is True
    assert stop_child(sleeper, steps=[(signal.SIGKILL, 5.0)]) is True
    assert sleeper.returncode == -signal.SIGTERM


def test_a_zombie_counts_as_gone(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(sleeper.pid) is None


def test_a_pid_file_gives_back_the_identity_and_garbage_gives_none(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    identity = identity_of(sleeper)
    identity.write(tmp_path / "pid")
    assert Identity.read(tmp_path / "pid") == identity
    for garbage in ("", "4711", "[]", '{"pid": "x"}', '{"pid": 1}'):
        (tmp_path / "pid").write_text(garbage)
        assert Identity.read(tmp_path / "pid") is None
    assert Identity.read(tmp_path / "absent") is None


def test_the_tail_of_a_log_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\n\nsecond\n third \nfourth\n")
    assert tail(log, lines=3) == "second | third | fourth"
    assert tail(log, lines=1) == "fourth"
    assert tail(tmp_path / "absent") == ""
