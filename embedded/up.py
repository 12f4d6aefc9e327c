"""`make up`: the product, its database, broker and emulated rack under one supervisor, until Ctrl-C or `make down`."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from embedded.demo import REPOSITORY
from embedded.errors import EmbeddedError
from embedded.places import write_private
from embedded.processes import Identity
from embedded.rack import ipmi_available
from embedded.stack import Stack

DEFAULT_PORT = 8000


def state_folder() -> Path:
    """Where everything lives: CHAPEK_STATE_DIR, by default `.chapek` in the repository."""
    return Path(os.environ.get("CHAPEK_STATE_DIR") or REPOSITORY / ".chapek").resolve()


def running(state_dir: Path) -> Identity | None:
    """The supervisor that runs on this folder."""
    identity = Identity.read(state_dir / "supervisor.pid")
    return identity if identity is not None and identity.alive() else None


def configured_port() -> int:
    """CHAPEK_PORT. Raises EmbeddedError when it is none."""
    text = os.environ.get("CHAPEK_PORT") or str(DEFAULT_PORT)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise EmbeddedError(f"CHAPEK_PORT must be a port from 1 to 65535, not {text!r}")
    return int(text)


class Supervisor:
    """One run of `make up`."""

    def __init__(self, *, state_dir: Path, teller: IO[str] | None = None) -> None:
        """`teller`: the parent of a supervisor in the background, told everything until we are up."""
        self.state_dir = state_dir
        self.out = teller or sys.stdout
        self.teller = teller
        self.asked_to_stop = threading.Event()
        mine = {name: value for name, value in os.environ.items() if name.startswith("CHAPEK_")}
        for name in ("CHAPEK_STATE_DIR", "CHAPEK_PORT"):
            mine.pop(name, None)
        self.stack = Stack(
            state_dir=state_dir,
            port=configured_port(),
            ipmi="some" if ipmi_available() else "none",
            web_workers=int(mine.pop("CHAPEK_WEB_WORKERS", "1")),
            worker_threads=int(mine.pop("CHAPEK_WORKER_THREADS", "16")),
            database_url=mine.get("CHAPEK_DATABASE_URL"),
            redis_url=mine.get("CHAPEK_REDIS_URL"),
            extra=mine,
            say=self.say,
        )

    def say(self, line: str) -> None:
        """Tell the person at the terminal; a terminal that went away is no reason to fall over."""
        try:
            self.out.write(line + "\n")
            self.out.flush()
        except (OSError, ValueError):
            return

    def run(self) -> int:
        """Start, tell, wait, stop; the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked)
        problem: list[EmbeddedError] = []
        # In a thread of its own: a signal never cuts the start of a program in two, and everything started is known.
        starter = threading.Thread(target=self._start, args=(problem,), name="start")
        starter.start()
        starter.join()
        if problem:
            if not self.asked_to_stop.is_set():
                self.say(f"chapek: {problem[0]}")
            return 130 if self.asked_to_stop.is_set() else 1
        try:
            self._tell()
            while not self.asked_to_stop.wait(0.5) and not self.stack.supervision.failed.is_set():
                pass
        finally:
            self.say("Stopping")
            (self.state_dir / "address").unlink(missing_ok=True)
            self.stack.stop()
        self.say("Stopped")
        return 0 if self.asked_to_stop.is_set() else 1

    def _start(self, problem: list[EmbeddedError]) -> None:
        try:
            self.stack.start()
        except EmbeddedError as error:
            problem.append(error)
        except OSError as error:
            problem.append(EmbeddedError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")))

    def _asked(self, _number: int, _frame: object) -> None:
        self.asked_to_stop.set()
        self.stack.interrupt()

    def _tell(self) -> None:
        stack = self.stack
        write_private(self.state_dir / "address", stack.url + "\n")
        settings = {name: value for name, value in stack.environment.items() if name.startswith("CHAPEK_")}
        # For a person's shell: `. .chapek/environment`, then manage.py works on this very database.
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
        write_private(self.state_dir / "environment", exports)
        for line in announcement(stack):
            self.say(line)
        if self.teller is not None:
            # From here on to the log, which never sees a password.
            self.out = sys.stdout
            self.teller.close()


def announcement(stack: Stack) -> list[str]:
    """What a newcomer needs to know, as lines."""
    people = stack.logins
    protocols = stack.rack.protocols()
    if protocols["ipmi"] and not ipmi_available():
        bmcs = f"{protocols['ipmi']} of its nodes speak IPMI, which needs ipmitool: it is not on the path"
    elif protocols["ipmi"]:
        bmcs = f"{protocols['redfish']} nodes speak Redfish, {protocols['ipmi']} IPMI"
    else:
        bmcs = f"{protocols['redfish']} nodes speak Redfish alone (a rack made with ipmitool on the path has IPMI too)"
    lines = [
        "",
        f"Chapek is up:  {stack.url}",
        f"  tenant       {people['tenant'].email}  {people['tenant'].password}",
        f"  operator     {people['operator'].email}  {people['operator'].password}   {stack.url}/admin/",
        f"  mails        {stack.url}/mail/",
        f"  rack         emulated: {bmcs}",
    ]
    if not stack.environment.get("CHAPEK_STRIPE_KEY"):
        lines.append("  payments     prepaid demonstration credit (no CHAPEK_STRIPE_KEY is set)")
    return [*lines, f"  logs         {stack.state_dir / 'log'}", "Ctrl-C or `make down` stops it."]


def detach(*, state_dir: Path) -> int:
    """Run the supervisor in the background; pass on what it says until it is up."""
    reading, writing = os.pipe()
    (state_dir / "log").mkdir(parents=True, exist_ok=True)
    with (state_dir / "log" / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded.up", "--tell-fd", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading) as said:
        for line in said:
            sys.stdout.write(line)
            sys.stdout.flush()
    # The pipe closes when it is up, or when it ended.
    if running(state_dir) is not None:
        return 0
    try:
        return process.wait(30) or 1
    except subprocess.TimeoutExpired:
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="make up")
    parser.add_argument("--detach", action="store_true", help="run in the background")
    parser.add_argument("--tell-fd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    state_dir = state_folder()
    try:
        if running(state_dir) is not None:
            address = state_dir / "address"
            state = f"up already: {address.read_text().strip()}" if address.exists() else "starting already"
            sys.stdout.write(f"Chapek is {state} (`make down` stops it)\n")
            return 0
        if options.detach:
            return detach(state_dir=state_dir)
        teller = None if options.tell_fd is None else os.fdopen(options.tell_fd, "w")
        return Supervisor(state_dir=state_dir, teller=teller).run()
    except EmbeddedError as error:
        sys.stderr.write(f"chapek: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
