"""System boot options: the parameters that ipmitool and firmware use (IPMI 2.0, 28.12-28.14)."""

from __future__ import annotations

import asyncio

from lab.chassis import Chassis, ChassisError
from lab.ipmi.registry import Call, Code, CompletionError, NetFn, command
from lab.ipmi.sessions import Privilege

SET_IN_PROGRESS = 0
FLAG_CLEARING = 3
INFO_ACKNOWLEDGE = 4
BOOT_FLAGS = 5
_LENGTHS = {SET_IN_PROGRESS: 1, FLAG_CLEARING: 1, INFO_ACKNOWLEDGE: 2, BOOT_FLAGS: 5}
_VERSION = 0x01
_VALID, _PERSISTENT, _UEFI = 0x80, 0x40, 0x20
_KEEP_WITHOUT_CONTROL = 0x08
_BY_SELECTOR = {0: "none", 1: "pxe", 2: "disk", 5: "cdrom", 6: "bios"}
# IPMI knows no HTTP boot; one set over Redfish shows as a boot from the network.
_SELECTORS = {"none": 0, "pxe": 1, "http": 1, "disk": 2, "cdrom": 5, "bios": 6}


class BootOptions:
    """Boot parameters of one BMC. The override itself lives in the chassis, where Redfish sees it too.

    A set override lapses when no chassis control command follows within `lapse_s` seconds, unless the console
    asked otherwise with parameter 3.
    """

    def __init__(self, *, chassis: Chassis, lapse_s: float) -> None:
        self._chassis = chassis
        self._lapse_s = lapse_s
        self._in_progress = 0
        self._clearing = 0
        self._acknowledge = b"\x00\x00"
        self._flags = bytes(5)
        self._device = "none"
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, parameter: int) -> bytes:
        """Data of one parameter. Raises CompletionError for those that this BMC does not have."""
        match parameter:
            case 0:  # SET_IN_PROGRESS
                return bytes([self._in_progress])
            case 3:  # FLAG_CLEARING
                return bytes([self._clearing])
            case 4:  # INFO_ACKNOWLEDGE: the write mask reads as zero
                return b"\x00" + self._acknowledge[1:]
            case 5:  # BOOT_FLAGS
                return self._present_flags()
        raise CompletionError(Code.PARAMETER_NOT_SUPPORTED)

    def _present_flags(self) -> bytes:
        device = self._chassis.boot_device
        if device == self._device:
            return self._flags
        # Changed behind our back: spent by a boot, or set over Redfish.
        return bytes([_VALID | _UEFI if device != "none" else 0, _SELECTORS[device] << 2, 0, 0, 0])

    async def write(self, parameter: int, data: bytes) -> None:
        """Set one parameter. Raises CompletionError for unknown parameters, wrong lengths and unknown devices."""
        if parameter not in _LENGTHS:
            raise CompletionError(Code.PARAMETER_NOT_SUPPORTED)
        if len(data) != _LENGTHS[parameter]:
            raise CompletionError(Code.INVALID_LENGTH)
        if parameter == SET_IN_PROGRESS:
            # Writes take effect at once, so "commit" (2) has nothing left to do and reads back as complete.
            self._in_progress = data[0] & 0x03 if data[0] & 0x03 != 2 else 0
        elif parameter == FLAG_CLEARING:
            self._clearing = data[0] & 0x1F
            if self._clearing & _KEEP_WITHOUT_CONTROL:
                self.keep()
        elif parameter == INFO_ACKNOWLEDGE:
            mask = data[0]
            self._acknowledge = bytes([mask, (self._acknowledge[1] & ~mask) | (data[1] & mask)])
        else:
            await self._write_flags(data)

    async def _write_flags(self, data: bytes) -> None:
        device = _BY_SELECTOR.get(data[1] >> 2 & 0x0F)
        if device is None:
            raise CompletionError(Code.INVALID_FIELD)
        if not data[0] & _VALID:
            device = "none"
        try:
            await self._chassis.set_boot(device, once=not data[0] & _PERSISTENT, uefi=bool(data[0] & _UEFI))
        except ChassisError as error:
            raise CompletionError(Code.INVALID_FIELD if error.code == "bad_device" else Code.UNSPECIFIED) from error
        self._flags = bytes([data[0] & 0xE0]) + data[1:]
        self._device = device
        self.keep()
        if device != "none" and not self._clearing & _KEEP_WITHOUT_CONTROL:
            self._timer = asyncio.get_running_loop().call_later(self._lapse_s, self._start_lapse)

    def keep(self) -> None:
        """Stop the countdown: a chassis control command came, or the flags were set anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        self.keep()
        for task in self._tasks:
            task.cancel()

    def _start_lapse(self) -> None:
        task = asyncio.get_running_loop().create_task(self._lapse())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lapse(self) -> None:
        if self._chassis.boot_device == self._device != "none":
            self._chassis.log("ipmi", "boot override lapsed", device=self._device)
            await self._chassis.set_boot("none", once=True, uefi=bool(self._flags[0] & _UEFI))
        self._flags, self._device = bytes(5), "none"


@command(NetFn.CHASSIS, 0x08, privilege=Privilege.OPERATOR, length=1, longest=17, own_log=True)
async def set_system_boot_options(call: Call) -> bytes:
    parameter = call.data[0] & 0x7F
    if len(call.data) == 1:
        # Only the validity bit of the parameter is set; parameters of this BMC are always valid.
        call.bmc.boot.read(parameter)
        return b""
    await call.bmc.boot.write(parameter, call.data[1:])
    call.bmc.chassis.log("ipmi", "set boot option", parameter=parameter, data=call.data[1:].hex())
    return b""


@command(NetFn.CHASSIS, 0x09, privilege=Privilege.OPERATOR, length=3)
async def get_system_boot_options(call: Call) -> bytes:
    parameter = call.data[0] & 0x7F
    return bytes([_VERSION, parameter]) + call.bmc.boot.read(parameter)
