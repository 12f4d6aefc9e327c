"""Chassis commands, and power reading by DCMI 1.5 and by sensor."""

from __future__ import annotations

import asyncio
import struct
import time

from lab.chassis import Chassis, ChassisError
from lab.ipmi.registry import Call, Code, CompletionError, NetFn, command
from lab.ipmi.sessions import Privilege

_BMC_ADDRESS = 0x20
_ACTIONS = {0: "off", 1: "on", 2: "cycle", 3: "reset", 5: "soft"}
_RESTARTS = {"on", "cycle", "reset"}
_CAUSE_CHASSIS_CONTROL = 0x01
_CHANNEL = 1
_ACCEPT_S = 0.5  # a console asks again after one second; a slow machine goes on after the answer
_MAX_W = 0xFFFF
_DCMI_VERSION = bytes([1, 5, 2])  # DCMI 1.5, second revision of the parameters
_DCMI_CAPABILITIES = {
    1: bytes([0x00, 0x01, 0x00]),  # power management; no access besides the primary LAN channel
    2: bytes([0x00, 0x00, 0x00, 0x00, 0x00]),  # no event log, no temperature sampling
    3: bytes([_BMC_ADDRESS, 0x00]),  # the BMC itself manages power
    4: bytes([_CHANNEL, 0xFF, 0xFF]),  # primary LAN channel; no secondary, no serial
    5: bytes([0x00]),  # no rolling averages beyond the statistics since start
}
_MEASURING = 0x40


class PowerStatistics:
    """Least, greatest and mean draw over the readings taken since the BMC started, watts."""

    def __init__(self, *, chassis: Chassis) -> None:
        self._chassis = chassis
        self._started_s = time.monotonic()
        self._readings = 0
        self._sum_w = 0
        self._least_w = _MAX_W
        self._greatest_w = 0

    def sample(self) -> tuple[int, int, int, int]:
        """Read the chassis: present, least, greatest and mean watts."""
        now_w = min(max(self._chassis.power_reading_w(), 0), _MAX_W)
        self._readings += 1
        self._sum_w += now_w
        self._least_w = min(self._least_w, now_w)
        self._greatest_w = max(self._greatest_w, now_w)
        return now_w, self._least_w, self._greatest_w, round(self._sum_w / self._readings)

    def period_ms(self) -> int:
        """Length of the statistics period; at least one millisecond."""
        return min(max(round((time.monotonic() - self._started_s) * 1000), 1), 0xFFFFFFFF)


@command(NetFn.CHASSIS, 0x00, privilege=Privilege.USER)
async def get_chassis_capabilities(_call: Call) -> bytes:
    return bytes([0x00, 0x00, _BMC_ADDRESS, _BMC_ADDRESS, 0x00])


@command(NetFn.CHASSIS, 0x01, privilege=Privilege.USER)
async def get_chassis_status(call: Call) -> bytes:
    """Power state with restore policy "stays off", last power event, no intrusion, no fault."""
    by_command = 0x10 if call.bmc.restart_cause == _CAUSE_CHASSIS_CONTROL and call.bmc.chassis.power_on else 0
    return bytes([int(call.bmc.chassis.power_on), by_command, 0x00])


@command(NetFn.CHASSIS, 0x02, privilege=Privilege.OPERATOR, length=1, own_log=True)
async def chassis_control(call: Call) -> bytes:
    action = _ACTIONS.get(call.data[0] & 0x0F)
    if action is None:
        raise CompletionError(Code.INVALID_FIELD)
    bmc = call.bmc
    bmc.chassis.log("ipmi", "chassis control", action=action)
    if action == "reset" and not bmc.chassis.power_on:
        raise CompletionError(Code.WRONG_STATE)
    bmc.boot.keep()
    work = asyncio.get_running_loop().create_task(_carry_out(bmc.chassis, action))
    bmc.background.add(work)
    work.add_done_callback(bmc.background.discard)
    try:
        refusal = await asyncio.wait_for(asyncio.shield(work), _ACCEPT_S)
    except TimeoutError:
        bmc.chassis.log("ipmi", "chassis control still under way", action=action)
        refusal = None
    if refusal is not None:
        raise CompletionError(refusal)
    if action in _RESTARTS:
        bmc.restart_cause = _CAUSE_CHASSIS_CONTROL
    return b""


async def _carry_out(chassis: Chassis, action: str) -> Code | None:
    """Do it, and give the completion code of a refusal, which is logged here since the answer may be gone already."""
    try:
        await chassis.power(action)
    except ChassisError as error:
        chassis.log("ipmi", "chassis control refused", action=action, reason=error.code)
        return {"not_powered": Code.WRONG_STATE, "bad_action": Code.INVALID_FIELD}.get(error.code, Code.UNSPECIFIED)
    return None


@command(NetFn.CHASSIS, 0x04, privilege=Privilege.OPERATOR, longest=2, own_log=True)
async def chassis_identify(call: Call) -> bytes:
    seconds = 15 if not call.data else call.data[0]
    call.bmc.chassis.log("ipmi", "chassis identify", seconds=seconds)
    return b""


@command(NetFn.CHASSIS, 0x07, privilege=Privilege.USER)
async def get_system_restart_cause(call: Call) -> bytes:
    return bytes([call.bmc.restart_cause, _CHANNEL])


@command(NetFn.GROUP, 0x01, privilege=None, length=1)
async def get_dcmi_capabilities(call: Call) -> bytes:
    data = _DCMI_CAPABILITIES.get(call.data[0])
    if data is None:
        raise CompletionError(Code.INVALID_FIELD)
    return _DCMI_VERSION + data


@command(NetFn.GROUP, 0x02, privilege=Privilege.USER, length=3)
async def get_power_reading(call: Call) -> bytes:
    """System power statistics (mode 1); enhanced statistics are not offered."""
    if call.data[0] != 0x01:
        raise CompletionError(Code.INVALID_FIELD)
    statistics = call.bmc.power
    now_w, least_w, greatest_w, mean_w = statistics.sample()
    stamp = int(time.time()) & 0xFFFFFFFF
    return struct.pack("<HHHHIIB", now_w, least_w, greatest_w, mean_w, stamp, statistics.period_ms(), _MEASURING)


@command(NetFn.GROUP, 0x03, privilege=Privilege.USER, length=2)
async def get_power_limit(_call: Call) -> bytes:
    """No limit is set: the completion code says so, and the fields are there as the command defines them."""
    raise CompletionError(Code.NO_ACTIVE_LIMIT, struct.pack("<HBHIHH", 0, 0, 0, 0, 0, 0))
