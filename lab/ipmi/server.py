"""The UDP service of one BMC: datagrams in, payloads to their handlers, signed and encrypted answers out."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lab.chassis import Chassis
from lab.ipmi import application, boot, crypto, power, sensors, wire
from lab.ipmi.boot import BootOptions
from lab.ipmi.handshake import Account, Handshake
from lab.ipmi.power import PowerStatistics
from lab.ipmi.registry import Bmc, Code, dispatch
from lab.ipmi.sessions import Limits, Peer, Session, SessionTable, Stage

COMMAND_MODULES = (application, boot, power, sensors)  # importing them filled the command table
_log = logging.getLogger(__name__)
_MAX_TASKS = 64
_REPEAT_S = 5.0  # a request with the same bytes within this time is a retry
_MAX_NAME, _MAX_PASSWORD, _GUID = 16, 20, 16

SessionPayload = Callable[[Session, bytes, Peer], Awaitable[None]]
SetupPayload = Callable[[bytes, Peer], bytes | None]


class IpmiServer(asyncio.DatagramProtocol):
    """One BMC on one UDP port. Malformed, forged and replayed datagrams are dropped and counted."""

    def __init__(
        self,
        *,
        account: Account,
        suites: tuple[int, ...],
        chassis: Chassis,
        guid: bytes,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.sessions = SessionTable(limits=limits, clock=clock)
        self.dropped = 0
        self._limits = limits
        self._clock = clock
        self._bmc = Bmc(
            chassis=chassis,
            guid=guid,
            suites=suites,
            limits=limits,
            sessions=self.sessions,
            boot=BootOptions(chassis=chassis, lapse_s=limits.boot_flags_s),
            power=PowerStatistics(chassis=chassis),
        )
        handshake = Handshake(
            account=account,
            guid=guid,
            suites=suites,
            sessions=self.sessions,
            note=lambda text, **detail: chassis.log("ipmi", text, **detail),
        )
        # Payload types outside of a session: handler, and type of the answer.
        self._setup: dict[int, tuple[SetupPayload, int]] = {
            wire.PAYLOAD_OPEN_SESSION_REQUEST: (handshake.open_session, wire.PAYLOAD_OPEN_SESSION_RESPONSE),
            wire.PAYLOAD_RAKP_1: (lambda payload, _peer: handshake.rakp_1(payload), wire.PAYLOAD_RAKP_2),
            wire.PAYLOAD_RAKP_3: (lambda payload, _peer: handshake.rakp_3(payload), wire.PAYLOAD_RAKP_4),
        }
        # Payload types inside a session; others (serial over LAN) are added here.
        self.payloads: dict[int, SessionPayload] = {wire.PAYLOAD_IPMI: self._serve_in_session}
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The UDP port in use."""
        if self._transport is None:
            raise RuntimeError("the server is not started")
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Stop listening, forget all sessions and stop what was under way. Harmless when repeated."""
        self._bmc.boot.close()
        self.sessions.close_all()
        for task in (*self._tasks, *self._bmc.background):
            task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio hands datagram protocols a DatagramTransport

    def error_received(self, exc: Exception) -> None:
        """A console that went away answers with ICMP; nothing to do."""
        _log.debug("ipmi peer unreachable: %s", exc)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        peer: Peer = (addr[0], addr[1])
        try:
            self._receive(data, peer)
        except wire.MalformedError:
            self.dropped += 1

    def _receive(self, data: bytes, peer: Peer) -> None:
        packet = wire.parse(data)
        if isinstance(packet, wire.Ping):
            self._send(wire.build_pong(tag=packet.tag), peer)
        elif isinstance(packet, wire.LegacyEnvelope):
            request = wire.parse_request(packet.payload)
            self._spawn(self._serve_outside(request, peer, wrap=wire.build_v15))
        elif packet.session_id == 0:
            self._receive_outside(packet, peer)
        else:
            self._receive_in_session(packet, peer)

    def _receive_outside(self, packet: wire.Envelope, peer: Peer) -> None:
        if packet.encrypted or packet.authenticated:
            raise wire.MalformedError
        if packet.payload_type == wire.PAYLOAD_IPMI:
            request = wire.parse_request(packet.payload)
            self._spawn(self._serve_outside(request, peer, wrap=_wrap_sessionless))
            return
        if packet.payload_type not in self._setup:
            raise wire.MalformedError
        handler, answer_type = self._setup[packet.payload_type]
        answer = handler(packet.payload, peer)
        if answer is not None:
            self._send(wire.build_v20(answer, payload_type=answer_type), peer)

    def _receive_in_session(self, packet: wire.Envelope, peer: Peer) -> None:
        session = self.sessions.get(packet.session_id)
        if session is None or session.stage is not Stage.ACTIVE or session.keys is None:
            raise wire.MalformedError
        # Every suite offered signs and encrypts, so a packet that does not is not from our console.
        if not (packet.encrypted and packet.authenticated):
            raise wire.MalformedError
        if not crypto.verify(session.suite, session.keys.signing, packet):
            raise wire.MalformedError
        if not session.inbound.accept(packet.sequence) or packet.payload_type not in self.payloads:
            raise wire.MalformedError
        payload = crypto.decrypt(session.keys.encryption, packet.payload)
        self.sessions.touch(session)
        session.peer = peer
        if session.in_flight >= self._limits.requests_in_flight:
            self.dropped += 1
            return
        self._spawn(self._in_order(session, self.payloads[packet.payload_type], payload, peer))

    async def _in_order(self, session: Session, handler: SessionPayload, payload: bytes, peer: Peer) -> None:
        """Payloads of one session are handled one after the other, as they came."""
        session.in_flight += 1
        try:
            async with session.lock:
                await handler(session, payload, peer)
        except wire.MalformedError:
            self.dropped += 1
        finally:
            session.in_flight -= 1

    async def _serve_in_session(self, session: Session, payload: bytes, peer: Peer) -> None:
        request = wire.parse_request(payload)
        known = session.last_command
        if known is not None and hmac.compare_digest(known[0], payload) and self._clock() - known[2] < _REPEAT_S:
            answer = known[1]
        else:
            answer = await self._answer(request, session)
            session.last_command = (payload, answer, self._clock())
        self.send(session, answer, payload_type=wire.PAYLOAD_IPMI, peer=peer)
        self._after_reply()

    async def _serve_outside(self, request: wire.Request, peer: Peer, *, wrap: Callable[[bytes], bytes]) -> None:
        self._send(wrap(await self._answer(request, None)), peer)

    async def _answer(self, request: wire.Request, session: Session | None) -> bytes:
        try:
            code, data = await dispatch(
                self._bmc, session, net_fn=request.net_fn, number=request.command, data=request.data
            )
        except Exception:  # noqa: BLE001  # a fault behind the chassis port must look like a faulty machine, not silence
            _log.exception("ipmi command %#04x/%#04x failed", request.net_fn, request.command)
            code, data = Code.UNSPECIFIED, b""
        return wire.build_response(request, code=code, data=data)

    def _after_reply(self) -> None:
        pending, self._bmc.after_reply = self._bmc.after_reply, []
        for act in pending:
            act()

    def send(self, session: Session, payload: bytes, *, payload_type: int, peer: Peer) -> None:
        """Encrypt, sign and send one payload inside an active session."""
        if session.keys is None:
            raise RuntimeError("the session has no keys yet")
        packet = wire.build_v20(
            crypto.encrypt(session.keys.encryption, payload),
            payload_type=payload_type,
            session_id=session.console_id,
            sequence=session.next_outbound(),
            encrypted=True,
            authenticated=True,
        )
        self._send(crypto.sign(session.suite, session.keys.signing, packet), peer)

    def _send(self, packet: bytes, peer: Peer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(packet, peer)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _MAX_TASKS:
            work.close()
            self.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _wrap_sessionless(payload: bytes) -> bytes:
    return wire.build_v20(payload, payload_type=wire.PAYLOAD_IPMI)


async def serve_ipmi(
    *,
    address: str,
    port: int,
    username: str,
    password: str,
    suites: tuple[int, ...],
    chassis: Chassis,
    guid: bytes,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> IpmiServer:
    """Start a BMC that speaks IPMI 2.0 on a loopback address; port 0 takes a free one.

    `suites` lists the allowed cipher suites, of 3 and 17; `guid` has 16 bytes, as they go over the wire. Raises
    ValueError for an address beyond loopback, for credentials that IPMI cannot carry and for unknown suites; OSError
    when the port is taken.
    """
    if not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"an emulated BMC listens on loopback only, not on {address}")
    name, secret = username.encode(), password.encode()
    if not 0 < len(name) <= _MAX_NAME or not 0 < len(secret) <= _MAX_PASSWORD:
        raise ValueError("IPMI user names have 1 to 16 bytes, passwords 1 to 20")
    if len(guid) != _GUID:
        raise ValueError("the GUID of a BMC has 16 bytes")
    if not suites or not set(suites) <= set(crypto.SUITES):
        raise ValueError(f"cipher suites are a choice of {sorted(crypto.SUITES)}, not {suites}")
    server = IpmiServer(
        account=Account(name=name, password=secret),
        suites=suites,
        chassis=chassis,
        guid=guid,
        limits=limits or Limits(),
        clock=clock,
    )
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: server, local_addr=(address, port))
    return server
