"""Application commands: what this BMC is, its channel, and the session in use (IPMI 2.0, chapters 20 and 22)."""

from __future__ import annotations

import struct

from lab.ipmi.crypto import SUITES
from lab.ipmi.registry import Call, Code, CompletionError, NetFn, command
from lab.ipmi.sessions import Privilege, Session

_CHANNEL = 1
_CHANNELS = {_CHANNEL, 0x0E}  # 0x0E: "the channel this came in on"
_FIRMWARE_MAJOR, _FIRMWARE_MINOR = 1, 0x00
_SUPPORT = 0x83  # chassis device, SDR repository, sensors
_RECORD_START, _INTEGRITY_TAG, _CONFIDENTIALITY_TAG = 0xC0, 0x40, 0x80
_PAGE = 16


@command(NetFn.APPLICATION, 0x01, privilege=Privilege.USER)
async def get_device_id(_call: Call) -> bytes:
    """Device 0x20 with SDRs, firmware 1.00, IPMI 2.0, no manufacturer named."""
    head = bytes([0x20, 0x81, _FIRMWARE_MAJOR, _FIRMWARE_MINOR, 0x02, _SUPPORT])
    return head + bytes(3) + bytes(2) + bytes(4)


@command(NetFn.APPLICATION, 0x02, privilege=Privilege.ADMINISTRATOR)
async def cold_reset(call: Call) -> bytes:
    """The controller restarts: every session is gone after this answer; the node's power is untouched."""
    call.bmc.after_reply.append(call.bmc.sessions.close_all)
    return b""


@command(NetFn.APPLICATION, 0x03, privilege=Privilege.ADMINISTRATOR)
async def warm_reset(call: Call) -> bytes:
    call.bmc.after_reply.append(call.bmc.sessions.close_all)
    return b""


@command(NetFn.APPLICATION, 0x04, privilege=Privilege.USER)
async def get_self_test_results(_call: Call) -> bytes:
    return b"\x55\x00"  # no error


@command(NetFn.APPLICATION, 0x08, privilege=Privilege.USER)
async def get_device_guid(call: Call) -> bytes:
    return call.bmc.guid


@command(NetFn.APPLICATION, 0x37, privilege=None)
async def get_system_guid(call: Call) -> bytes:
    return call.bmc.guid


@command(NetFn.APPLICATION, 0x38, privilege=None, length=2)
async def get_channel_authentication_capabilities(call: Call) -> bytes:
    """RMCP+ only: no IPMI 1.5 authentication, named accounts, per-message authentication, no BMC key."""
    channel, privilege = call.data[0] & 0x0F, call.data[1] & 0x0F
    if channel not in _CHANNELS or not Privilege.CALLBACK <= privilege <= Privilege.ADMINISTRATOR:
        raise CompletionError(Code.INVALID_FIELD)
    extended = 0x80 if call.data[0] & 0x80 else 0x00
    return bytes([_CHANNEL, extended, 0x04, 0x02 if extended else 0x00, 0, 0, 0, 0])


@command(NetFn.APPLICATION, 0x42, privilege=Privilege.USER, length=1)
async def get_channel_info(call: Call) -> bytes:
    """An 802.3 LAN channel with IPMB messages and many sessions; vendor: the IPMI forum."""
    if call.data[0] & 0x0F not in _CHANNELS:
        raise CompletionError(Code.INVALID_FIELD)
    active = min(call.bmc.sessions.active(), 0x3F)
    return bytes([_CHANNEL, 0x04, 0x01, 0x80 | active, 0xF2, 0x1B, 0x00, 0x00, 0x00])


@command(NetFn.APPLICATION, 0x54, privilege=None, length=3)
async def get_channel_cipher_suites(call: Call) -> bytes:
    """Up to 16 bytes of the list of suites (bit 7 of the index) or of the algorithms that they use."""
    channel, _payload_type, index = call.data
    if channel & 0x0F not in _CHANNELS:
        raise CompletionError(Code.INVALID_FIELD)
    suites = [SUITES[number] for number in sorted(call.bmc.suites)]
    if index & 0x80:
        listing = b"".join(
            bytes(
                [
                    _RECORD_START,
                    suite.number,
                    suite.authentication,
                    _INTEGRITY_TAG | suite.integrity,
                    _CONFIDENTIALITY_TAG | suite.confidentiality,
                ]
            )
            for suite in suites
        )
    else:
        numbers = {suite.authentication for suite in suites}
        numbers |= {_INTEGRITY_TAG | suite.integrity for suite in suites}
        numbers |= {_CONFIDENTIALITY_TAG | suite.confidentiality for suite in suites}
        listing = bytes(sorted(numbers))
    start = (index & 0x3F) * _PAGE
    return bytes([_CHANNEL]) + listing[start : start + _PAGE]


@command(NetFn.APPLICATION, 0x3B, privilege=Privilege.CALLBACK, length=1)
async def set_session_privilege_level(call: Call) -> bytes:
    session = _session(call)
    wanted = call.data[0] & 0x0F
    if wanted == 0:
        return bytes([session.privilege])
    if not Privilege.USER <= wanted <= Privilege.ADMINISTRATOR:
        raise CompletionError(Code.INVALID_FIELD)
    if wanted > session.max_privilege:
        raise CompletionError(Code.LEVEL_NOT_AVAILABLE)
    session.privilege = Privilege(wanted)
    return bytes([session.privilege])


@command(NetFn.APPLICATION, 0x3C, privilege=Privilege.CALLBACK, length=4, longest=5)
async def close_session(call: Call) -> bytes:
    """Close this session, or as administrator any other one, after the answer has gone out."""
    session = _session(call)
    (number,) = struct.unpack_from("<I", call.data)
    target = call.bmc.sessions.get(number)
    if target is None:
        raise CompletionError(Code.INVALID_SESSION)
    if target is not session and session.privilege < Privilege.ADMINISTRATOR:
        raise CompletionError(Code.INSUFFICIENT_PRIVILEGE)
    call.bmc.after_reply.append(lambda: call.bmc.sessions.close(target))
    return b""


def _session(call: Call) -> Session:
    """The session of a command that the table admits only inside one."""
    if call.session is None:
        raise CompletionError(Code.INSUFFICIENT_PRIVILEGE)
    return call.session
