"""The fleet file: a site's hardware as the operator knows it, in YAML or JSON, and its way into the inventory.

Top-level lists, all optional: ``sites``, ``pools``, ``racks``, ``fabrics``, ``gpu_models``, ``node_types``, ``images``,
``nodes``. Entries have the fields of the facts in ``inventory.services``. A BMC password is given as ``password``, or
as ``password_file``, a path whose first line it is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import yaml

from common.actors import Actor
from common.errors import InvalidRequest
from inventory import services
from inventory.models import Site
from inventory.services import (
    BmcFacts,
    DriveFacts,
    Enrolled,
    GpuModelFacts,
    ImageFacts,
    NodeFacts,
    NodeTypeFacts,
    SiteFacts,
)

_Facts = TypeVar("_Facts")
_SECTIONS = frozenset({"sites", "pools", "racks", "fabrics", "gpu_models", "node_types", "images", "nodes"})


@dataclass(frozen=True, kw_only=True)
class BroughtUp:
    """What an import did. ``nodes`` are all nodes of the file, new or not."""

    nodes: tuple[Enrolled, ...]


def read(path: Path) -> dict[str, Any]:
    """Raises InvalidRequest when the file cannot be read as a fleet file."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{path} is neither YAML nor JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest(f"{path}: a mapping of lists is expected")
    return document


def bring_up(*, document: Mapping[str, Any], actor: Actor, folder: Path | None = None) -> BroughtUp:
    """Enroll everything in the document, in the order in which things stand on each other. Idempotent.

    ``folder`` is where relative ``password_file`` paths begin. Raises InvalidRequest naming the entry that is wrong.
    """
    unknown = set(document) - _SECTIONS
    if unknown:
        raise InvalidRequest(f"a fleet file has no section {', '.join(sorted(unknown))}", field=min(unknown))
    for entry in _entries(document, "sites"):
        services.enroll_site(facts=_facts(SiteFacts, entry, "sites"), actor=actor)
    for section, enroll in _PLACES.items():
        for entry in _entries(document, section):
            enroll(entry, actor)
    for entry in _entries(document, "gpu_models"):
        services.enroll_gpu_model(facts=_facts(GpuModelFacts, entry, "gpu_models"), actor=actor)
    for entry in _entries(document, "node_types"):
        services.enroll_node_type(facts=_facts(NodeTypeFacts, entry, "node_types"), actor=actor)
    for entry in _entries(document, "images"):
        services.register_image(facts=_facts(ImageFacts, entry, "images"), actor=actor)
    nodes = [
        services.enroll_node(facts=_node(entry, folder or Path()), actor=actor) for entry in _entries(document, "nodes")
    ]
    return BroughtUp(nodes=tuple(nodes))


def _pool(entry: Mapping[str, Any], actor: Actor) -> None:
    services.enroll_pool(site=_site(entry, "pools"), code=entry["code"], name=entry["name"], actor=actor)


def _rack(entry: Mapping[str, Any], actor: Actor) -> None:
    limit = int(entry.get("power_limit_kw", 120))
    services.enroll_rack(site=_site(entry, "racks"), code=entry["code"], power_limit_kw=limit, actor=actor)


def _fabric(entry: Mapping[str, Any], actor: Actor) -> None:
    technology = str(entry.get("technology", "infiniband"))
    services.enroll_fabric(site=_site(entry, "fabrics"), code=entry["code"], technology=technology, actor=actor)


_PLACES: dict[str, Callable[[Mapping[str, Any], Actor], None]] = {"pools": _pool, "racks": _rack, "fabrics": _fabric}


def _site(entry: Mapping[str, Any], section: str) -> Site:
    for name in ("code", "site"):
        if not entry.get(name):
            raise InvalidRequest(f"an entry of {section} has no {name}", field=section)
    found = Site.objects.filter(code=entry["site"]).first()
    if found is None:
        raise InvalidRequest(f"{section}: there is no site {entry['site']!r}", field="site")
    return found


def _entries(document: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidRequest(f"{section} is a list of mappings", field=section)
    return entries


def _node(entry: Mapping[str, Any], folder: Path) -> NodeFacts:
    name = entry.get("name", "?")
    values = dict(entry)
    bmc = dict(values.pop("bmc", None) or {})
    secret = bmc.pop("password_file", None)
    if secret is not None:
        try:
            bmc["password"] = (folder / str(secret)).read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError) as error:
            raise InvalidRequest(f"node {name}: no readable BMC password file", field="password_file") from error
    values["bmc"] = _facts(BmcFacts, bmc, f"nodes {name} bmc")
    values["drives"] = tuple(_facts(DriveFacts, drive, f"nodes {name} drives") for drive in values.get("drives", []))
    values["gpu_serials"] = tuple(str(serial) for serial in values.get("gpu_serials", []))
    return _facts(NodeFacts, values, f"nodes {name}")


def _facts(kind: type[_Facts], entry: Mapping[str, Any], where: str) -> _Facts:
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every kind is a dataclass
    unknown = set(entry) - set(fields)
    if unknown:
        raise InvalidRequest(f"{where}: unknown {', '.join(sorted(unknown))}", field=min(unknown))
    missing = [
        name
        for name, item in fields.items()
        if name not in entry and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InvalidRequest(f"{where}: {', '.join(missing)} missing", field=missing[0])
    values = dict(entry)
    for name, item in fields.items():
        if name in values and item.type is Decimal:
            try:
                values[name] = Decimal(str(values[name]))
            except InvalidOperation as error:
                raise InvalidRequest(f"{where}: {name} is not a number", field=name) from error
        elif name in values and item.type is int and not isinstance(values[name], int):
            raise InvalidRequest(f"{where}: {name} is not a whole number", field=name)
    return kind(**values)
