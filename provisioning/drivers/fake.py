"""A BMC in memory: the same rules as the real drivers, no input or output. For tests and for trying things out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from provisioning.drivers.base import BmcIdentity, Endpoint, PowerState
from provisioning.drivers.errors import BmcCredentialsRefused, BmcUnreachable


@dataclass
class FakeBmc:
    """One machine as its BMC sees it. ``log`` holds every act that changed something, in order."""

    password: str = ""
    power: PowerState = PowerState.OFF
    takes_url: bool = True
    boot: tuple[str, str] = ("disk", "")
    watts: int | None = 180
    serial: str = ""
    is_reachable: bool = True
    log: list[str] = field(default_factory=list)
    on_act: Callable[[str], None] = lambda _act: None

    def act(self, what: str) -> None:
        self.log.append(what)
        self.on_act(what)


_machines: dict[tuple[str, int], FakeBmc] = {}
_lock = threading.Lock()


def machine(*, address: str, port: int) -> FakeBmc:
    """The machine behind that address, made at first sight."""
    with _lock:
        return _machines.setdefault((address, port), FakeBmc())


def forget_all() -> None:
    with _lock:
        _machines.clear()


class FakeDriver:
    def __init__(self, *, endpoint: Endpoint, before: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._before = before

    def power_state(self) -> PowerState:
        return self._bmc().power

    def power_on(self) -> bool:
        bmc = self._bmc()
        if bmc.power is PowerState.ON:
            return False
        bmc.power = PowerState.ON
        bmc.act("on")
        return True

    def power_off(self, *, soft: bool = False) -> bool:
        bmc = self._bmc()
        if bmc.power is PowerState.OFF:
            return False
        bmc.power = PowerState.OFF
        bmc.act("soft" if soft else "off")
        return True

    def reset(self) -> None:
        self._bmc().act("reset")

    def boot_from_network(self, *, url: str) -> bool:
        bmc = self._bmc()
        bmc.boot = ("http", url) if bmc.takes_url else ("pxe", "")
        bmc.act(f"boot {bmc.boot[0]}")
        return bmc.takes_url

    def boot_from_disk(self) -> None:
        bmc = self._bmc()
        bmc.boot = ("disk", "")
        bmc.act("boot disk")

    def power_reading_w(self) -> int | None:
        return self._bmc().watts

    def identity(self) -> BmcIdentity:
        return BmcIdentity(serial=self._bmc().serial, manufacturer="Chapek", model="fake", firmware="1")

    def close(self) -> None:
        """Nothing is open."""

    def _bmc(self) -> FakeBmc:
        self._before()
        bmc = machine(address=self._endpoint.address, port=self._endpoint.port)
        if not bmc.is_reachable:
            raise BmcUnreachable("the BMC does not answer", address=self._endpoint.address)
        if bmc.password and bmc.password != self._endpoint.password:
            raise BmcCredentialsRefused("the BMC refuses the log-in", address=self._endpoint.address)
        return bmc
