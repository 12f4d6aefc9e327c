"""What a BMC may ask of its machine: the one seam between the Redfish and IPMI services and the emulated node."""

from typing import Protocol

POWER_ACTIONS = ("on", "off", "cycle", "reset", "soft")
BOOT_DEVICES = ("none", "pxe", "http", "disk", "cdrom", "bios")


class Chassis(Protocol):
    """The machine as its management controller sees it. All calls are made on the lab's event loop."""

    @property
    def power_on(self) -> bool:
        """True while the main power rail is on."""
        ...

    @property
    def boot_device(self) -> str:
        """The boot override in force for the next boot, one of BOOT_DEVICES; `none` means firmware order."""
        ...

    async def power(self, action: str) -> None:
        """Carry out one of POWER_ACTIONS; returns when the BMC has accepted it, as hardware does.

        `on` when on and `off` when off succeed and change nothing; `cycle` when off raises ChassisError.
        """
        ...

    async def set_boot(self, device: str, *, once: bool, uefi: bool) -> None:
        """Set the boot override, one of BOOT_DEVICES; `once` is spent by the next boot."""
        ...

    def power_reading_w(self) -> int:
        """Present draw of the whole node, watts; a small standby draw when off."""
        ...

    def log(self, protocol: str, command: str, **detail: object) -> None:
        """Write one received BMC command to the node's protocol log. Never passed a secret."""
        ...


class ChassisError(Exception):
    """The machine refused a command; `code` is `bad_action`, `bad_device`, `not_powered` or `fault`."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
