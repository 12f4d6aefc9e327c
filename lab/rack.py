"""The rack file: which nodes stand in the emulated rack, with what hardware, addresses and BMC log-ins."""

import ipaddress
import json
import os
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

RACK_VERSION = 1
REDFISH = "redfish"
IPMI = "ipmi"


class RackError(Exception):
    """The rack file cannot be used; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds an emulated machine spends in each phase; all may be 0."""

    post_s: float = 2.0
    rescue_s: float = 2.0
    os_s: float = 3.0
    off_s: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Drive:
    name: str
    serial: str
    model: str
    size_bytes: int
    nvme: bool = True


@dataclass(frozen=True, kw_only=True)
class Bmc:
    """Where and how the node's BMC answers. `cipher_suite` counts for IPMI only."""

    protocol: str
    address: str
    port: int
    username: str
    password: str = field(repr=False)
    cipher_suite: int = 17


@dataclass(frozen=True, kw_only=True)
class SshEndpoint:
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Node:
    name: str
    site: str
    rack: str
    serial: str
    mac: str
    gpu_model: str
    gpu_count: int
    gpu_memory_mib: int
    gpu_serials: tuple[str, ...]
    cpu_cores: int
    memory_gib: int
    drives: tuple[Drive, ...]
    bmc: Bmc
    ssh: SshEndpoint

    @property
    def uuid(self) -> uuid.UUID:
        """SMBIOS UUID, fixed by the serial number."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"chapek-lab:{self.serial}")

    @property
    def gpu_uuids(self) -> tuple[str, ...]:
        return tuple(f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'chapek-lab-gpu:{s}')}" for s in self.gpu_serials)


@dataclass(frozen=True, kw_only=True)
class Rack:
    """All nodes of one lab. `boot_url` is the platform's address as the nodes' DHCP would hand it out."""

    boot_url: str
    timing: Timing
    nodes: tuple[Node, ...]
    version: int = RACK_VERSION

    def with_boot_url(self, boot_url: str) -> "Rack":
        return replace(self, boot_url=boot_url)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def require_loopback(*, address: str, what: str) -> None:
    """Raise RackError unless the address is on this machine's loopback: the lab listens nowhere else."""
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise RackError(f"{what}: {address!r} is not a loopback address; the lab listens on loopback only")


def load(*, path: Path) -> Rack:
    """Read and check a rack file. Raises RackError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RackError(f"cannot read rack file {path}: {error.strerror}") from error
    except ValueError as error:
        raise RackError(f"rack file {path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("version") != RACK_VERSION:
        raise RackError(f"rack file {path}: version {RACK_VERSION} expected")
    try:
        rack = Rack(
            boot_url=str(raw["boot_url"]),
            timing=Timing(**raw.get("timing", {})),
            nodes=tuple(_node(item) for item in raw["nodes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RackError(f"rack file {path}: {type(error).__name__}: {error}") from error
    _check(rack, path)
    return rack


def save(*, rack: Rack, path: Path) -> None:
    """Write a rack file readable by its owner alone (it holds the BMC passwords), replacing it in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(rack.to_json())
    temporary.replace(path)


def _node(item: dict[str, Any]) -> Node:
    values = dict(item)
    values["gpu_serials"] = tuple(values["gpu_serials"])
    values["drives"] = tuple(Drive(**drive) for drive in values["drives"])
    values["bmc"] = Bmc(**values["bmc"])
    values["ssh"] = SshEndpoint(**values["ssh"])
    return Node(**values)


def _check(rack: Rack, path: Path) -> None:
    seen: set[tuple[str, object]] = set()
    for node in rack.nodes:
        if not node.name or set(node.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise RackError(f"rack file {path}: node name {node.name!r} may hold a-z, 0-9 and - only")
        for drive in node.drives:
            if not drive.name.isalnum():
                raise RackError(f"rack file {path}: {node.name}: drive name {drive.name!r} may hold letters and digits")
        if node.bmc.protocol not in {REDFISH, IPMI}:
            raise RackError(f"rack file {path}: {node.name}: BMC protocol {node.bmc.protocol!r} is unknown")
        if len(node.gpu_serials) != node.gpu_count:
            raise RackError(f"rack file {path}: {node.name}: {node.gpu_count} GPU serials expected")
        require_loopback(address=node.bmc.address, what=f"{node.name}: BMC")
        require_loopback(address=node.ssh.address, what=f"{node.name}: SSH")
        bmc = (node.bmc.protocol, node.bmc.address, node.bmc.port)
        ssh = (node.ssh.address, node.ssh.port)
        for key in (("name", node.name), ("serial", node.serial), ("mac", node.mac), ("bmc", bmc), ("ssh", ssh)):
            if key in seen:
                raise RackError(f"rack file {path}: {node.name}: {key[0]} {key[1]!r} is used twice")
            seen.add(key)


if __name__ == "__main__":
    from lab.fleet import main

    raise SystemExit(main())
