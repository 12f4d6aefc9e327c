"""The emulated rack's file, as far as the supervisor cares."""

import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.places import port_taken

DEFAULT_NET = "127.77"
PROBED_PORTS = (8443, 22022)
"""Of the first node's BMC and SSH."""


@dataclass(frozen=True, kw_only=True)
class RackFile:
    """Where the rack is described, and how it is made when it is not there yet."""

    path: Path
    fleet: str = "demo"
    node_count: int | None = None
    instant: bool = False
    ipmi: str = "none"

    def arguments(self, *, boot_url: str) -> list[str]:
        """The command that makes the file."""
        fleet = ["--fleet", self.fleet] if self.node_count is None else ["--count", str(self.node_count)]
        return [
            *("-m", "lab.rack", "generate", "--out", str(self.path), *fleet, "--boot-url", boot_url),
            *("--ipmi", self.ipmi, "--net", free_net()),
            *(["--instant"] if self.instant else []),
        ]

    def sites(self) -> list[str]:
        """The codes of the sites, in the file's order."""
        return list(dict.fromkeys(node["site"] for node in self._read()["nodes"]))

    def protocols(self) -> Counter[str]:
        """How many nodes speak which BMC protocol."""
        return Counter(node["bmc"]["protocol"] for node in self._read()["nodes"])

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content


def free_net() -> str:
    """A two-octet loopback prefix whose first node nobody emulates yet; its successor is free as well."""
    others = [f"127.{octet}" for octet in random.sample(range(80, 250, 2), 20)]
    for net in (DEFAULT_NET, *others):
        first, second = net.split(".")
        addresses = [f"{net}.1.11", f"{first}.{int(second) + 1}.1.11"]
        if not any(port_taken(address, port) for address in addresses for port in PROBED_PORTS):
            return net
    return others[0]


def ipmi_available() -> bool:
    """Whether the product can drive an IPMI BMC here."""
    return shutil.which("ipmitool") is not None
