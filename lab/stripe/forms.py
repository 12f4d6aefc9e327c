"""Stripe's form encoding, `a[b][0]=c`, into nested values, and the checks that every endpoint makes on them."""

import re
from collections.abc import Iterable
from typing import Any

from lab.stripe.errors import invalid

_PART = re.compile(r"\[([^\]]*)\]")
_MAX_DEPTH = 8


def parse(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Nested dicts; `a[]` and `a[0]` become lists. Values stay text, as they came."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, bracket, rest = name.partition("[")
        path = [head, *_PART.findall(bracket + rest)]
        if len(path) > _MAX_DEPTH:
            raise invalid(f"Invalid parameter: {head} is nested too deeply", param=head)
        _put(root, path, value)
    listed: dict[str, Any] = _lists(root)
    return listed


def _put(root: dict[str, Any], path: list[str], value: str) -> None:
    place = root
    for part in path[:-1]:
        key = part or str(len(place))
        following = place.setdefault(key, {})
        if not isinstance(following, dict):
            raise invalid(f"Invalid parameter: {path[0]}", param=path[0])
        place = following
    place[path[-1] or str(len(place))] = value


def _lists(value: Any) -> Any:
    """Dicts whose keys are 0, 1, 2, ... are lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    if inner and list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner


def allow(params: dict[str, Any], *names: str, require: Iterable[str] = ()) -> None:
    """Refuse what this endpoint does not know, and the lack of what it needs, in Stripe's words."""
    for name in params:
        if name not in names and name != "expand":
            raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
    for name in require:
        if params.get(name) in {None, ""}:
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")


def integer(params: dict[str, Any], name: str) -> int:
    try:
        return int(params[name])
    except (TypeError, ValueError):
        raise invalid(f"Invalid integer: {params[name]}", param=name, code="parameter_invalid_integer") from None


def flag(params: dict[str, Any], name: str) -> bool:
    value = params.get(name, "false")
    if value not in {"true", "false"}:
        raise invalid(f"Invalid boolean: {value}", param=name)
    return bool(value == "true")


def metadata(params: dict[str, Any]) -> dict[str, str]:
    given = params.get("metadata") or {}
    if not isinstance(given, dict) or any(not isinstance(value, str) for value in given.values()):
        raise invalid("Invalid hash: metadata", param="metadata")
    return dict(given)
