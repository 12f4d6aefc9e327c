"""Bringing a fleet in: enroll what the file names, and take every node in that nobody has looked at yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.actors import Actor
from inventory import fleet_file
from inventory.states import NodeState
from provisioning.services import request_intake


@dataclass(frozen=True, kw_only=True)
class Arrival:
    new: int
    changed: int
    unchanged: int
    intakes: int


def bring_in(*, document: Mapping[str, Any], actor: Actor, folder: Path | None = None, intake: bool = True) -> Arrival:
    """Idempotent: a second time it finds nothing to do. Raises InvalidRequest naming the entry that is wrong."""
    brought = fleet_file.bring_up(document=document, actor=actor, folder=folder)
    intakes = 0
    for enrolled in brought.nodes if intake else ():
        if enrolled.node.state == NodeState.ENROLLED:
            request_intake(node=enrolled.node, actor=actor)
            intakes += 1
    new = sum(enrolled.is_new for enrolled in brought.nodes)
    changed = sum(bool(enrolled.changed) for enrolled in brought.nodes)
    return Arrival(new=new, changed=changed, unchanged=len(brought.nodes) - new - changed, intakes=intakes)
