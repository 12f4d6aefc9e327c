"""What the stand-in remembers: objects, events, keys; and its clock."""

import copy
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.stripe.errors import invalid, missing

Thing = dict[str, Any]
API_VERSION = "2026-10-28.endive"
# Fields that hold the id of another object and may be asked for in full.
REFERENCES = {"customer", "payment_method", "setup_intent", "payment_intent", "latest_charge", "charge"}


@dataclass
class Store:
    """All state of one account. `clock_offset_s` moves its time; nothing else reads a clock."""

    base_url: str = ""
    clock_offset_s: int = 0
    objects: dict[str, Thing] = field(default_factory=dict)
    events: list[Thing] = field(default_factory=list)
    on_event: Callable[[Thing], None] = lambda _event: None

    def now(self) -> int:
        return int(time.time()) + self.clock_offset_s

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{secrets.token_hex(12)}"

    def add(self, prefix: str, kind: str, **facts: Any) -> Thing:
        thing = {"id": self.new_id(prefix), "object": kind, "created": self.now(), "livemode": False, **facts}
        self.objects[thing["id"]] = thing
        return thing

    def get(self, kind: str, ref: Any) -> Thing:
        thing = self.objects.get(ref) if isinstance(ref, str) else None
        if thing is None or thing["object"] != kind:
            raise missing(kind, str(ref))
        return thing

    def all(self, kind: str) -> Iterator[Thing]:
        """Newest first, as lists are given."""
        return (thing for thing in reversed(list(self.objects.values())) if thing["object"] == kind)

    def emit(self, kind: str, thing: Thing) -> Thing:
        """Write an event with a copy of the object as it is now."""
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": self.shown(thing)},
        }
        self.events.append(event)
        self.on_event(event)
        return event

    def shown(self, thing: Thing, expand: Any = ()) -> Thing:
        """A copy without our own notes (names with an underscore), references filled in where asked for."""
        copied = {key: copy.deepcopy(value) for key, value in thing.items() if not key.startswith("_")}
        for path in expand if isinstance(expand, list) else ():
            self._expand(copied, str(path).split("."))
        return copied

    def _expand(self, thing: Thing, path: list[str]) -> None:
        name, rest = path[0], path[1:]
        if name not in REFERENCES or name not in thing:
            raise invalid(f"This property cannot be expanded ({name}).", param="expand")
        value = thing[name]
        if isinstance(value, str):
            thing[name] = value = self.shown(self.objects[value])
        if rest and isinstance(value, dict):
            self._expand(value, rest)

    def page(self, things: Iterator[Thing], params: Thing, *, url: str, expand: Any = ()) -> Thing:
        """One page: `limit`, `starting_after`, `created[gte|gt|lte|lt]`."""
        limit = min(max(int(params.get("limit", 10)), 1), 100)
        found = [thing for thing in things if _in_time(thing, params.get("created"))]
        after = params.get("starting_after")
        if after:
            ids = [thing["id"] for thing in found]
            if after not in ids:
                raise missing("object", after)
            found = found[ids.index(after) + 1 :]
        return {
            "object": "list",
            "url": url,
            "has_more": len(found) > limit,
            "data": [self.shown(thing, expand) for thing in found[:limit]],
        }


def _in_time(thing: Thing, bounds: Any) -> bool:
    if not bounds:
        return True
    if isinstance(bounds, str):
        return int(thing["created"]) == int(bounds)
    made = int(thing["created"])
    checks = {
        "gte": made.__ge__,
        "gt": made.__gt__,
        "lte": made.__le__,
        "lt": made.__lt__,
    }
    return all(checks[name](int(value)) for name, value in bounds.items())
