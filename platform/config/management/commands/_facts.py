"""What the generated reference tells, taken from the program itself: machines, events and errors of every room."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from django.apps import apps
from django.conf import settings

from common import outbox
from common.errors import DomainError
from common.state_machine import Machine

ROOMS = (
    "common",
    "observability",
    "compliance.audit",
    "accounts",
    "inventory",
    "placement",
    "provisioning",
    "billing",
    "reservations",
    "api",
    "portal",
    "operations",
)
"""Bottom to top, as the layers lie."""
_ASIDE = {"migrations", "management", "tests"}


def modules() -> Iterator[ModuleType]:
    """Every module of every room, imported."""
    for room in ROOMS:
        package = importlib.import_module(room)
        yield package
        for found in pkgutil.walk_packages(package.__path__, prefix=f"{room}."):
            if not _ASIDE & set(found.name.split(".")):
                yield importlib.import_module(found.name)


def room_of(module: str) -> str:
    """The room a module belongs to."""
    return next(room for room in ROOMS if module == room or module.startswith(f"{room}."))


@dataclass(frozen=True, kw_only=True)
class FoundMachine:
    """``bookkeeping`` are moves that workers make without an audit event (``SCHEDULING`` of the same file)."""

    room: str
    machine: Machine
    bookkeeping: tuple[tuple[str, str], ...] = ()


def machines() -> list[FoundMachine]:
    """Every state machine, in the order of the rooms and of the lines of their ``states.py``."""
    found: list[FoundMachine] = []
    seen: set[int] = set()
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, Machine) and id(value) not in seen and module.__name__.endswith("states"):
                seen.add(id(value))
                moves = sorted((str(source), str(target)) for source, target in getattr(module, "SCHEDULING", ()))
                found.append(FoundMachine(room=room_of(module.__name__), machine=value, bookkeeping=tuple(moves)))
    return found


def first_states(machine: Machine) -> list[str]:
    """In which a row begins: the default of the models that have these states."""
    fields = [field for model in apps.get_models() for field in model._meta.fields if field.name == "state"]  # noqa: SLF001 - Django's documented model API
    defaults = {str(field.default) for field in fields if field.choices == machine.states.choices}
    return [state for state in machine.states.values if state in defaults]


@dataclass(frozen=True, kw_only=True)
class PublishedEvent:
    """One place where an event is written: its room, and the names in its payload ("..." when they are not plain)."""

    kind: str
    room: str
    payload: tuple[str, ...]


def published() -> list[PublishedEvent]:
    """Every ``publish(kind="...")`` in the sources, by kind."""
    found = [
        event
        for room in ROOMS
        for path in sorted(_folder(room).rglob("*.py"))
        if not _ASIDE & set(path.parts)
        for event in _published_in(path, room=room)
    ]
    return sorted(set(found), key=lambda event: (event.kind, event.room, event.payload))


def listeners(kind: str) -> list[str]:
    """Who handles an event, as ``room.handler``."""
    return [
        f"{handler.__module__.partition('.')[0]}.{handler.__name__}"
        for handler in outbox._handlers.get(kind, ())  # noqa: SLF001 - the reference looks into the kernel, rooms do not
    ]


def heard_kinds() -> set[str]:
    """Every kind that somebody listens to."""
    return {kind for kind, handlers in outbox._handlers.items() if handlers}  # noqa: SLF001 - as above


def errors() -> list[type[DomainError]]:
    """Every foreseen error of the rooms, DomainError itself left out, by code and then by place."""
    for _module in modules():
        pass
    found: set[type[DomainError]] = set()
    pending = [DomainError]
    while pending:
        for child in pending.pop().__subclasses__():
            if child not in found:
                found.add(child)
                pending.append(child)
    ours = [error for error in found if error.__module__.startswith(tuple(f"{room}." for room in ROOMS))]
    return sorted(ours, key=lambda error: (error.code, ROOMS.index(room_of(error.__module__)), error.__qualname__))


def _folder(room: str) -> Path:
    package = importlib.import_module(room)
    return Path(next(iter(package.__path__)))


def _published_in(path: Path, *, room: str) -> Iterator[PublishedEvent]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        names: dict[str, ast.expr] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names[node.targets[0].id] = node.value
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or _called(node) != "publish":
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            kind = given.get("kind")
            if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                yield PublishedEvent(kind=kind.value, room=room, payload=_keys(given.get("payload"), names))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _keys(value: ast.expr | None, names: dict[str, ast.expr]) -> tuple[str, ...]:
    """The keys of a dictionary display, followed through one name and through ``**`` of another."""
    if isinstance(value, ast.Name):
        value = names.get(value.id)
    if not isinstance(value, ast.Dict):
        return ("...",)
    found: list[str] = []
    for key, item in zip(value.keys, value.values, strict=True):
        if isinstance(key, ast.Constant):
            found.append(str(key.value))
        elif key is None:
            found.extend(_keys(item, names))
    return tuple(dict.fromkeys(found))


def root() -> Path:
    return Path(settings.BASE_DIR)
