"""IPMI 2.0, the legacy way: looks and acts by ``ipmitool``, one process per command (``drivers.ipmitool``)."""

from collections.abc import Callable

from provisioning.drivers.base import BmcIdentity, Endpoint, PowerState
from provisioning.drivers.ipmitool import IpmiTool


class IpmiDriver:
    """One BMC over IPMI. It knows no URL to boot from and no serial number: the node says both over the network."""

    def __init__(self, *, endpoint: Endpoint, before: Callable[[], None]) -> None:
        self._before = before
        self._tool = IpmiTool(
            address=endpoint.address,
            port=endpoint.port,
            username=endpoint.username,
            password=endpoint.password,
            cipher_suite=endpoint.cipher_suite,
            timeout_s=endpoint.timeout_s,
        )

    def power_state(self) -> PowerState:
        self._before()
        return PowerState(self._tool.power_status())

    def power_on(self) -> bool:
        if self.power_state() is PowerState.ON:
            return False
        self._before()
        self._tool.power(action="on")
        return True

    def power_off(self, *, soft: bool = False) -> bool:
        if self.power_state() is PowerState.OFF:
            return False
        self._before()
        self._tool.power(action="soft" if soft else "off")
        return True

    def reset(self) -> None:
        self._before()
        self._tool.power(action="reset")

    def boot_from_network(self, *, url: str) -> bool:  # noqa: ARG002 - IPMI has no place for it
        self._before()
        self._tool.set_boot_device(device="pxe", once=True, uefi=True)
        return False

    def boot_from_disk(self) -> None:
        self._before()
        self._tool.set_boot_device(device="disk", once=True, uefi=True)

    def power_reading_w(self) -> int | None:
        self._before()
        return self._tool.power_reading_w()

    def identity(self) -> BmcIdentity:
        self._before()
        facts = self._tool.identity()
        return BmcIdentity(firmware=facts.get("firmware", ""), uuid=facts.get("guid", ""))

    def close(self) -> None:
        """Each command was its own process: nothing is open."""
