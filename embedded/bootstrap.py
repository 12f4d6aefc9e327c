"""Makes `.venv` from requirements.lock unless it is current, then runs a module in it: `-m embedded.bootstrap MODULE`.

Standard library alone, and nothing newer than Python 3.7: an older Python must get as far as the line that says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
NEWEST = (3, 13)
SUPPORTED = [f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
AS_IT_IS = "--as-it-is"
"""Before the module's name: use the environment that is there and change nothing."""

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK = REPOSITORY / "requirements.lock"
PROJECT = REPOSITORY / "pyproject.toml"
FREE_LIMIT_GIB = 2
UNREACHABLE = ("Network is unreachable", "name resolution", "NewConnectionError", "ReadTimeoutError", "dns error")


class SetupError(Exception):
    """What keeps the environment from being made, as one line."""


class Environment:
    """The virtual environment: `.venv`, or CHAPEK_VENV."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.stamp = folder / ".chapek-stamp"
        self.log = folder / "install.log"

    def version(self) -> str:
        """Major and minor version of its Python; empty when that does not run or is not one we support.

        Asked of the program: an upgrade of the system can change what a link in the environment means.
        """
        question = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            answer = subprocess.check_output([str(self.python), "-I", "-c", question], stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            return ""
        version = answer.decode().strip()
        return version if version in SUPPORTED and (self.folder / "lib" / f"python{version}").is_dir() else ""

    def wanted(self, version: str) -> list[str]:
        """What it ought to be made from: one line for its packages, one for our own entry points."""
        return [f"{file_hash(LOCK)} {version} {self.folder}", file_hash(PROJECT)]

    def present(self) -> list[str]:
        """What it was made from; two empty lines when that is unknown."""
        try:
            found = self.stamp.read_text().split("\n")
        except OSError:
            found = []
        return ([*found, "", ""])[:2]

    def bring_up_to_date(self) -> None:
        """Make it, or install what changed; a current one costs two hashes. Raises SetupError."""
        # An environment of any Python that fits is kept: the product may be running in it just now.
        version, present = self.version(), self.present()
        if version and present == self.wanted(version):
            return
        require_room(REPOSITORY)
        uv = shutil.which("uv")
        moved = present[0] and present[0].split(" ", 2)[1:] != [version, str(self.folder)]
        if not version or moved:
            if not uv:
                require_venv()
            say(f"Making the Python environment in {self.folder}")
            shutil.rmtree(str(self.folder), ignore_errors=True)
            self.folder.mkdir(parents=True)
            maker = [uv, "venv", "--allow-existing", "--python"] if uv else []
            self.run([*maker, sys.executable, *([] if uv else ["-m", "venv"]), str(self.folder)])
            version, present = self.version(), ["", ""]
        wanted = self.wanted(version)
        install = (
            [uv, "pip", "install", "--python", str(self.python)] if uv else [str(self.python), "-m", "pip", "install"]
        )
        if present[0] != wanted[0]:
            say("Installing the packages of requirements.lock (a few minutes the first time)")
            self.run([*install, "--require-hashes", "-r", str(LOCK)])
        self.run([*install, "--no-build-isolation", "--no-deps", "-e", str(REPOSITORY)])
        fresh = self.stamp.with_name(".chapek-stamp.new")
        fresh.write_text("\n".join(wanted))
        fresh.replace(self.stamp)

    def run(self, arguments: list[str]) -> None:
        """Run one step of the installation into the log. Raises SetupError that says why it failed."""
        variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        variables.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore", PIP_NO_INPUT="1")
        with self.log.open("wb") as log:
            code = subprocess.call(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=str(REPOSITORY),
            )
        if code:
            raise SetupError(f"{explain(self.log.read_text(errors='replace'))} (log: {self.log})")


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def other_python(version: tuple[int, int]) -> str | None:
    """The newest Python on the path that fits, when `version` does not; None when it does.

    Raises SetupError when there is none.
    """
    if OLDEST <= version <= NEWEST:
        return None
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    raise SetupError(
        f"Python 3.11 to 3.13 is needed and this is {version[0]}.{version[1]}: "
        "install one beside it (Debian, Ubuntu: apt install python3.11 python3.11-venv)"
    )


def require_venv() -> None:
    """Raises SetupError where Debian has split venv off."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"python3.{sys.version_info[1]}-venv"
        raise SetupError(f"Python's venv is missing: apt install python3-venv (or {version})")


def require_room(folder: Path) -> None:
    """Raises SetupError when the disk is nearly full."""
    free_gib = shutil.disk_usage(str(folder)).free / 2.0**30
    if free_gib < FREE_LIMIT_GIB:
        raise SetupError(f"disk full: {free_gib:.1f} GiB free under {folder}, {FREE_LIMIT_GIB} GiB needed")


def explain(log: str) -> str:
    """Why an installation failed, as one line, from the installer's output."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if "No space left on device" in log:
        return "disk full while installing packages"
    if "DO NOT MATCH THE HASHES" in log or "Hash mismatch" in log:
        return "a package does not match its hash in requirements.lock: nothing of it was installed"
    built = ("Failed building wheel for", "Failed to build", "error: command")
    if any(words in log for words in built):
        names = [line.split("wheel for")[-1].split()[0] for line in lines if "Failed building wheel for" in line]
        return (
            f"{names[-1] if names else 'a package'} has no wheel for this machine and no compiler can build it: "
            "apt install build-essential python3-dev"
        )
    if any(words in log for words in UNREACHABLE):
        return "the package index cannot be reached"
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["the installer said nothing"])[-1]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Set up, then become the module named in `arguments`; without one, only set up."""
    try:
        os.chdir(str(REPOSITORY))
        environment = Environment(Path(os.environ.get("CHAPEK_VENV") or REPOSITORY / ".venv").resolve())
        if arguments[:1] == [AS_IT_IS]:
            arguments = arguments[1:]
            if not environment.version():
                raise SetupError("nothing is set up here yet: `make up` does it")
        else:
            other = other_python((sys.version_info[0], sys.version_info[1]))
            if other:
                os.execv(other, [other, "-m", "embedded.bootstrap", *arguments])  # noqa: S606 - no shell is the point
            with LOCK.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second waits, then finds all done
                environment.bring_up_to_date()
    except (SetupError, OSError) as error:
        sys.stderr.write(f"chapek: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments:
        folder = environment.folder
        os.environ["VIRTUAL_ENV"] = str(folder)
        os.environ["PATH"] = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)])
        python = str(environment.python)
        os.execv(python, [python, "-m", *arguments])  # noqa: S606 - no shell is the point
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
