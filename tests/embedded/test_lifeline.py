import subprocess
import sys

from embedded.processes import Identity

SUPERVISOR = """
import os, subprocess, sys
from embedded.lifeline import Lifeline
lifeline = Lifeline()
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleep, start_new_session=True, stdout=subprocess.DEVNULL)
lifeline.hold(child.pid)
print(child.pid, flush=True)
sys.stdin.readline()
if sys.argv[1] == "release":
    lifeline.release()
os._exit(9)
"""


def run_supervisor(ending: str) -> Identity:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, ending], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        child = Identity.of(int(supervisor.stdout.readline()))
        assert child is not None
        supervisor.communicate("go\n")
    return child


def test_children_of_a_killed_supervisor_are_stopped() -> None:
    child = run_supervisor("die")
    assert child.wait(timeout_s=20) is True


def test_after_an_orderly_end_nothing_is_signalled() -> None:
    child = run_supervisor("release")
    assert child.wait(timeout_s=0.5) is False
    assert child.signal(9) is True
