"""The sensor data repository with its one record, the power draw of the node, and reading that sensor."""

from __future__ import annotations

import struct

from lab.ipmi.registry import Call, Code, CompletionError, NetFn, command
from lab.ipmi.sessions import Privilege

_SENSOR = 1
_WATTS_PER_COUNT = 80  # 8-bit counts up to 20.4 kW, above any eight-GPU node
_RECORD_ID = 1
_LAST_RECORD = 0xFFFF
_SDR_VERSION = 0x51
_NAME = b"Node Power"


def _power_record() -> bytes:
    """Full sensor record (IPMI 2.0, 43.1): linear, watts, no thresholds, readable only."""
    body = struct.pack(
        "<BBB BBBB BB HHH BBB B BBBBBB BBBB BB BBBBBB BB HBB",
        *(0x20, 0, _SENSOR),  # owner and number
        *(0x07, 1, 0x00, 0x00),  # system board 1; nothing to initialise; no thresholds, no hysteresis
        *(0x0B, 0x01),  # other units-based sensor, threshold reading type
        *(0, 0, 0),  # no events, no thresholds readable
        *(0x00, 0x06, 0x00),  # unsigned, watts
        0x00,  # linear
        *(_WATTS_PER_COUNT, 0, 0, 0, 0, 0),  # M, B, accuracy, exponents
        *(0x00, 0, 0, 0),  # no nominal values
        *(0xFF, 0x00),  # greatest and least count
        *(0, 0, 0, 0, 0, 0),
        *(0, 0),
        *(0, 0, 0xC0 | len(_NAME)),  # reserved, OEM, ASCII name
    )
    body += _NAME
    return struct.pack("<HBBB", _RECORD_ID, _SDR_VERSION, 0x01, len(body)) + body


_RECORD = _power_record()


@command(NetFn.STORAGE, 0x20, privilege=Privilege.USER)
async def get_sdr_repository_info(_call: Call) -> bytes:
    """One record, no space for more, never changed; reservation supported."""
    return struct.pack("<BHHIIB", _SDR_VERSION, 1, 0, 0, 0, 0x02)


@command(NetFn.STORAGE, 0x22, privilege=Privilege.USER)
async def reserve_sdr_repository(call: Call) -> bytes:
    call.bmc.sdr_reservation = call.bmc.sdr_reservation % 0xFFFF + 1
    return struct.pack("<H", call.bmc.sdr_reservation)


@command(NetFn.STORAGE, 0x23, privilege=Privilege.USER, length=6)
async def get_sdr(call: Call) -> bytes:
    """Part of a record; a part that does not begin at its start needs a valid reservation."""
    reservation, record, offset, count = struct.unpack("<HHBB", call.data)
    if record not in {0, _RECORD_ID, _LAST_RECORD}:
        raise CompletionError(Code.NOT_PRESENT)
    if offset and reservation != call.bmc.sdr_reservation:
        raise CompletionError(Code.RESERVATION_CANCELLED)
    if offset >= len(_RECORD):
        raise CompletionError(Code.OUT_OF_RANGE)
    end = len(_RECORD) if count == 0xFF else offset + count
    return struct.pack("<H", _LAST_RECORD) + _RECORD[offset:end]


@command(NetFn.SENSOR, 0x2D, privilege=Privilege.USER, length=1)
async def get_sensor_reading(call: Call) -> bytes:
    _require_sensor(call)
    watts = call.bmc.power.sample()[0]
    return bytes([min(round(watts / _WATTS_PER_COUNT), 0xFF), 0x40, 0xC0])


@command(NetFn.SENSOR, 0x27, privilege=Privilege.USER, length=1)
async def get_sensor_thresholds(call: Call) -> bytes:
    _require_sensor(call)
    return bytes(7)


def _require_sensor(call: Call) -> None:
    if call.data[0] != _SENSOR:
        raise CompletionError(Code.NOT_PRESENT)
