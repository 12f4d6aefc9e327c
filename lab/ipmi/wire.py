"""RMCP, ASF and IPMI envelopes: bytes to values and back, without state or keys (IPMI 2.0, chapters 12 and 13)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

RMCP_HEADER = b"\x06\x00\xff"  # version 1.0, reserved, sequence 255: no RMCP acknowledgement wanted
CLASS_ASF = 0x06
CLASS_IPMI = 0x07

AUTH_NONE = 0x00
AUTH_RMCP_PLUS = 0x06

PAYLOAD_IPMI = 0x00
PAYLOAD_OPEN_SESSION_REQUEST = 0x10
PAYLOAD_OPEN_SESSION_RESPONSE = 0x11
PAYLOAD_RAKP_1 = 0x12
PAYLOAD_RAKP_2 = 0x13
PAYLOAD_RAKP_3 = 0x14
PAYLOAD_RAKP_4 = 0x15

_ASF_IANA = 4542
_ASF_PING = 0x80
_ASF_PONG = 0x40
_OEM_EXPLICIT = 0x02

_V15_HEADER = struct.Struct("<BIIB")
_V20_HEADER = struct.Struct("<BBIIH")
_ASF_HEADER = struct.Struct(">IBBBB")
MAX_DATAGRAM = 1024  # bytes; RMCP+ payloads of this BMC stay far below


class MalformedError(Exception):
    """The datagram is not what its own header says; a BMC drops it in silence."""


@dataclass(frozen=True, slots=True)
class Request:
    """One IPMI command as the console sent it; `net_fn` is even, sequence has six bits."""

    responder: int
    net_fn: int
    responder_lun: int
    requester: int
    sequence: int
    requester_lun: int
    command: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LegacyEnvelope:
    """An IPMI 1.5 packet outside of a session."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An RMCP+ packet. `raw` begins at the authentication type; `trailer` is all that follows the payload."""

    payload_type: int
    encrypted: bool
    authenticated: bool
    session_id: int
    sequence: int
    payload: bytes
    raw: bytes
    trailer: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """ASF presence ping (DSP0136, 3.2.4.2)."""

    tag: int


def parse(datagram: bytes) -> LegacyEnvelope | Envelope | Ping:
    """Read one datagram. Raises MalformedError for everything that is not a well-formed packet of these three kinds."""
    if not 5 <= len(datagram) <= MAX_DATAGRAM or datagram[0] != RMCP_HEADER[0]:
        raise MalformedError
    message_class, body = datagram[3], datagram[4:]
    if message_class == CLASS_ASF:
        return _parse_ping(body)
    if message_class != CLASS_IPMI:
        raise MalformedError
    if body[0] == AUTH_RMCP_PLUS:
        return _parse_v20(body)
    return _parse_v15(body)


def _parse_ping(body: bytes) -> Ping:
    if len(body) < _ASF_HEADER.size:
        raise MalformedError
    enterprise, kind, tag, _reserved, length = _ASF_HEADER.unpack_from(body)
    if (enterprise, kind, length) != (_ASF_IANA, _ASF_PING, 0):
        raise MalformedError
    return Ping(tag=tag)


def _parse_v15(body: bytes) -> LegacyEnvelope:
    if len(body) < _V15_HEADER.size:
        raise MalformedError
    auth_type, _sequence, session_id, length = _V15_HEADER.unpack_from(body)
    payload = body[_V15_HEADER.size :]
    # 1.5 sessions are not offered; a legacy pad byte may follow the payload.
    if auth_type != AUTH_NONE or session_id != 0 or length > len(payload):
        raise MalformedError
    return LegacyEnvelope(payload=payload[:length])


def _parse_v20(body: bytes) -> Envelope:
    if len(body) < _V20_HEADER.size:
        raise MalformedError
    _auth, kind, session_id, sequence, length = _V20_HEADER.unpack_from(body)
    end = _V20_HEADER.size + length
    if kind & 0x3F == _OEM_EXPLICIT or end > len(body):
        raise MalformedError
    return Envelope(
        payload_type=kind & 0x3F,
        encrypted=bool(kind & 0x80),
        authenticated=bool(kind & 0x40),
        session_id=session_id,
        sequence=sequence,
        payload=body[_V20_HEADER.size : end],
        raw=body,
        trailer=body[end:],
    )


def build_pong(*, tag: int) -> bytes:
    """ASF presence pong that says: IPMI supported, ASF 1.0, no security extensions."""
    data = struct.pack(">IIBB6x", _ASF_IANA, 0, 0x81, 0x00)
    return RMCP_HEADER + bytes([CLASS_ASF]) + _ASF_HEADER.pack(_ASF_IANA, _ASF_PONG, tag, 0, len(data)) + data


def build_v15(payload: bytes) -> bytes:
    """An IPMI 1.5 packet outside of a session."""
    return RMCP_HEADER + bytes([CLASS_IPMI]) + _V15_HEADER.pack(AUTH_NONE, 0, 0, len(payload)) + payload


def build_v20(
    payload: bytes,
    *,
    payload_type: int,
    session_id: int = 0,
    sequence: int = 0,
    encrypted: bool = False,
    authenticated: bool = False,
) -> bytes:
    """RMCP header, RMCP+ session header and payload; the integrity trailer, where wanted, is appended by `crypto`."""
    kind = payload_type | (0x80 if encrypted else 0) | (0x40 if authenticated else 0)
    header = _V20_HEADER.pack(AUTH_RMCP_PLUS, kind, session_id, sequence, len(payload))
    return RMCP_HEADER + bytes([CLASS_IPMI]) + header + payload


def checksum(data: bytes) -> int:
    """Two's complement of the byte sum, so that data and checksum add up to zero modulo 256."""
    return -sum(data) & 0xFF


def parse_request(payload: bytes) -> Request:
    """Read an IPMI LAN message. Raises MalformedError on a wrong checksum or length, and when it is a response."""
    if len(payload) < 7 or sum(payload[:3]) & 0xFF or sum(payload[3:]) & 0xFF or payload[1] & 0x04:
        raise MalformedError
    return Request(
        responder=payload[0],
        net_fn=payload[1] >> 2,
        responder_lun=payload[1] & 0x03,
        requester=payload[3],
        sequence=payload[4] >> 2,
        requester_lun=payload[4] & 0x03,
        command=payload[5],
        data=payload[6:-1],
    )


def build_response(request: Request, *, code: int, data: bytes) -> bytes:
    """The IPMI LAN message that answers `request` with a completion code and data."""
    head = bytes([request.requester, (request.net_fn | 1) << 2 | request.requester_lun])
    body = bytes([request.responder, request.sequence << 2 | request.responder_lun, request.command, code]) + data
    return head + bytes([checksum(head)]) + body + bytes([checksum(body)])
