"""What the platform asks of a BMC, one small Protocol per duty, and how drivers are found.

The rules that every driver keeps, and the conformance suite in tests/drivers checks: look before you act (asking for
what is already so is success, acts on nothing and answers False); accept and return, never wait for hardware; call
``before`` ahead of every act (IPMI: every command), where the caller checks its lease and keeps the BMC's pause;
raise the classes of ``drivers.errors`` and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from provisioning.drivers.errors import DriverToolMissing

ENTRY_POINTS = "chapek.drivers"


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a BMC answers and how to log in. ``certificate_sha256`` is lower-case hex; empty at first contact."""

    address: str
    port: int
    username: str
    password: str = field(repr=False)
    cipher_suite: int = 17
    certificate_sha256: str = ""
    timeout_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class BmcIdentity:
    """What the BMC says its machine is; a field that it does not know is empty."""

    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    uuid: str = ""
    certificate_sha256: str = ""


class Power(Protocol):
    def power_state(self) -> PowerState: ...

    def power_on(self) -> bool:
        """True when the BMC was told to; False when the power was on already."""
        ...

    def power_off(self, *, soft: bool = False) -> bool:
        """Power off, ``soft`` through the operating system. True when told to; False when it was off already."""
        ...

    def reset(self) -> None:
        """Hard reset of a machine that is on. The only act that cannot be looked up: the caller remembers it."""
        ...


class Boot(Protocol):
    def boot_from_network(self, *, url: str) -> bool:
        """Next boot, once, over the network in UEFI mode: from ``url`` where the BMC can say so, else by DHCP.

        True when the BMC took the URL; False when the node will ask by its MAC address.
        """
        ...

    def boot_from_disk(self) -> None:
        """Next boot from the first disk, in UEFI mode."""
        ...


class Sensors(Protocol):
    def power_reading_w(self) -> int | None:
        """Present draw of the whole node, watts; None when this BMC does not measure it."""
        ...


class Identity(Protocol):
    def identity(self) -> BmcIdentity: ...


class Driver(Power, Boot, Sensors, Identity, Protocol):
    """All duties of one BMC. ``close`` hangs up; the driver may be used again after it."""

    def close(self) -> None: ...


class DriverFactory(Protocol):
    def __call__(self, *, endpoint: Endpoint, before: Callable[[], None]) -> Driver: ...


@cache
def factory(name: str) -> DriverFactory:
    """The driver of that name among the entry points ``chapek.drivers``. Raises DriverToolMissing."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            loaded: DriverFactory = entry.load()
            return loaded
    raise DriverToolMissing(f"no driver named {name} is installed on this worker", driver=name)
