import os
import signal
import sys
import time
from pathlib import Path

import pytest

from embedded.child import BACKOFF_S, STEADY_S, Child, Restarts, describe_exit
from embedded.logs import rotate
from embedded.processes import Identity

LEADER = """
import signal, subprocess, sys, time
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
follower = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(follower.pid, flush=True)
time.sleep(0 if sys.argv[1] == "ends" else 60)
"""


def make(tmp_path: Path, how: str) -> Child:
    return Child(
        arguments=[sys.executable, "-c", LEADER, how],
        environment=dict(os.environ),
        log_path=tmp_path / "child.log",
        cwd=tmp_path,
        stop_steps=[(signal.SIGTERM, 0.3)],
    )


def follower_of(child: Child) -> Identity:
    deadline_s = time.monotonic() + 20
    while not child.log_path.read_text().endswith("\n"):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    identity = Identity.of(int(child.log_path.read_text()))
    assert identity is not None
    return identity


@pytest.mark.parametrize("how", ["willing", "stubborn"])
def test_stop_ends_the_program_and_what_it_left_behind(tmp_path: Path, how: str) -> None:
    child = make(tmp_path, how).start()
    follower = follower_of(child)
    leader = Identity.of(child.pid or 0)
    assert leader is not None
    child.stop()
    assert child.pid is None
    assert leader.alive() is False
    assert follower.wait(timeout_s=5) is True


def test_a_program_that_ended_by_itself_leaves_nobody_of_its_group(tmp_path: Path) -> None:
    child = make(tmp_path, "ends").start()
    follower = follower_of(child)
    deadline_s = time.monotonic() + 20
    while child.exit_code() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert child.exit_code() == 0
    assert follower.wait(timeout_s=5) is True


def test_logs_are_for_the_owner_alone(tmp_path: Path) -> None:
    child = make(tmp_path, "willing").start()
    assert child.log_path.stat().st_mode & 0o777 == 0o600
    child.stop()


def test_waits_grow_and_are_bounded() -> None:
    restarts = Restarts()
    restarts.started(now_s=0.0)
    waits = [restarts.ended(now_s=1.0) for _ in range(len(BACKOFF_S) + 1)]
    assert waits == [*BACKOFF_S, None]
    assert restarts.due_at_s is None


def test_a_steady_program_starts_again_from_the_shortest_wait() -> None:
    restarts = Restarts()
    restarts.started(now_s=0.0)
    assert [restarts.ended(now_s=1.0), restarts.ended(now_s=2.0)] == [0.5, 1.0]
    restarts.started(now_s=10.0)
    assert restarts.due_at_s is None
    assert restarts.ended(now_s=11.0 + STEADY_S) == 0.5
    assert restarts.due_at_s == 11.5 + STEADY_S


def test_an_exit_is_said_in_words() -> None:
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(3) == "exit code 3"


def test_a_log_past_its_limit_moves_on_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with log.open("ab", buffering=0) as writer:
        for round_number in range(4):
            writer.write(b"%d" % round_number * 100)
            assert rotate(log, limit_bytes=50, kept=2) is True
            assert rotate(log, limit_bytes=50, kept=2) is False
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "web.log.1").read_bytes() == b"3" * 100
    assert (tmp_path / "web.log.2").read_bytes() == b"2" * 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]


def test_of_a_log_that_ran_away_the_newest_part_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"a" * 500 + b"z" * 100)
    assert rotate(log, limit_bytes=50) is True
    assert (tmp_path / "web.log.1").read_bytes() == b"z" * 100
