"""Portal and API reach rows only through selectors and services: no model manager is named there."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "platform"
# Tables of the API itself, and what belongs to nobody.
ALLOWED = {("api/idempotency.py", "IdempotencyKey")}


def managers(path):
    """(line, model) of each ``Model.objects`` that is not followed by ``.visible_to(...)``."""
    tree = ast.parse(path.read_text())
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"objects", "_base_manager", "_default_manager"}:
            above = parents.get(node)
            if not (isinstance(above, ast.Attribute) and above.attr == "visible_to"):
                yield node.lineno, ast.unparse(node.value)


def found(room):
    return [
        f"{path.relative_to(ROOT)}:{line} {model}.objects"
        for path in sorted((ROOT / room).rglob("*.py"))
        if "migrations" not in path.parts
        for line, model in managers(path)
        if (str(path.relative_to(ROOT)), model) not in ALLOWED
    ]


@pytest.mark.parametrize("room", ["api", "portal"])
def test_no_bare_manager_in_a_room_that_shows_things_to_tenants(room):
    assert found(room) == []


def test_the_guard_sees_what_it_should(tmp_path):
    file = tmp_path / "views.py"
    file.write_text("A.objects.filter(x=1)\nB.objects.visible_to(actor)\nmodels.C.objects.get()\nD._default_manager\n")
    assert sorted(managers(file)) == [(1, "A"), (3, "models.C"), (4, "D")]
