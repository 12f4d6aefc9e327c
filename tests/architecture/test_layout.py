"""The shape of the house, checked: what an outsider may rely on when looking for a rule."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked(*suffixes: str) -> list[Path]:
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [ROOT / line for line in out.stdout.splitlines()]
    return [path for path in paths if path.suffix in suffixes and path.exists()]


SOURCES = [path for path in tracked(".py") if "migrations" not in path.parts]


def test_platform_is_a_source_root_and_no_package() -> None:
    # A platform/__init__.py would shadow Python's own module and break celery and uuid.
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_there_is_no_python_in_docker() -> None:
    # docker/ is importable as a namespace package where the Docker SDK is absent.
    assert not list((ROOT / "docker").rglob("*.py"))


def test_no_file_passes_600_lines_and_nine_in_ten_stay_under_250() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert {path.relative_to(ROOT).as_posix(): n for path, n in lengths.items() if n > 600} == {}
    share = sum(1 for n in lengths.values() if n < 250) / len(lengths)
    assert share >= 0.9, f"{share:.0%} of files are under 250 lines"


def test_lock_files_carry_hashes_and_no_addresses() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text
        assert "index-url" not in text


def test_no_third_party_or_minified_file_is_tracked() -> None:
    bad = [p for p in tracked(".js", ".css", ".map") if ".min." in p.name or {"vendor", "third_party"} & set(p.parts)]
    assert bad == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_state_changes_through_fire_alone(path: Path) -> None:
    """No assignment to ``.state`` and no ``update(state=...)`` outside the state machine (I4)."""
    rooms = {"platform", "billing", "provisioning", "networks", "compliance"}
    if path.relative_to(ROOT).parts[0] not in rooms or path.name == "state_machine.py":
        return
    offences = []
    for node in ast.walk(ast.parse(path.read_text())):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        for target in targets:
            for part in ast.walk(target):
                by_hand = isinstance(part, ast.Attribute) and part.attr == "state" and not _is_self_of_plain_class(part)
                offences += [node.lineno] if by_hand else []
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"update", "bulk_update"}
            and any(keyword.arg == "state" for keyword in node.keywords)
        ):
            offences.append(node.lineno)
    assert offences == [], f"{path.relative_to(ROOT)}: a state is written by hand at lines {offences}"


def _is_self_of_plain_class(part: ast.Attribute) -> bool:
    return isinstance(part.value, ast.Name) and part.value.id == "self"


def test_only_provisioning_fires_node_events() -> None:
    for path in SOURCES:
        relative = path.relative_to(ROOT)
        if relative.parts[0] in {"provisioning", "tests", "lab"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "fire":
                machines = [ast.unparse(k.value) for k in node.keywords if k.arg == "machine"]
                assert "NODE" not in machines, f"{relative}:{node.lineno} fires a node's event"


def test_no_rule_hangs_on_a_django_signal() -> None:
    """What a reservation does is read in its services; ``post_migrate`` in an apps.py sets up, it rules nothing."""
    ruling = re.compile(r"\b(pre_save|post_save|pre_delete|post_delete|m2m_changed|pre_init|post_init|receiver)\b")
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != "tests":
            lines = path.read_text().splitlines()
            # Celery's own signals time tasks for the metrics; no rule hangs on them either.
            imports = [line for line in lines if "import" in line and "signals" in line and "celery" not in line]
            assert not [line for line in imports if ruling.search(line)], path
            assert not imports or path.name == "apps.py", path


def test_every_room_imports_alone() -> None:
    """A fresh interpreter loads the whole project: no import depends on who came first."""
    code = "import django, os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings'); django.setup()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
