"""For the IPMI tests: a machine that remembers what it was told, a BMC on its own thread, and a raw RMCP+ console."""

import asyncio
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from lab.chassis import ChassisError
from lab.ipmi import IpmiServer, Limits, crypto, serve_ipmi, wire

USER, PASSWORD = "chapek", "Vq8-tW2x.Lm5zR9k"
GUID = bytes(range(16))
# Get Channel Authentication Capabilities of this channel for an administrator, in the IPMI 1.5 envelope.
AUTH_CAPABILITIES = bytes.fromhex("0600ff07" + "00" * 9 + "09" + "2018c8" + "8100388e04b5")
_CAPABLE = bytes.fromhex("00" * 9 + "10" + "811c63" + "20003800")


@dataclass
class Machine:
    """A chassis whose every change is an entry of `done`."""

    power_on: bool = False
    boot_device: str = "none"
    watts: int = 5210
    done: list[tuple] = field(default_factory=list)
    lines: list[tuple[str, str, dict]] = field(default_factory=list)
    fault: ChassisError | None = None
    changed: threading.Event = field(default_factory=threading.Event)

    async def power(self, action: str) -> None:
        if self.fault is not None:
            raise self.fault
        if action == "cycle" and not self.power_on:
            raise ChassisError("off", code="not_powered")
        self.done.append(("power", action))
        self.power_on = action not in {"off", "soft"}

    async def set_boot(self, device: str, *, once: bool, uefi: bool) -> None:
        self.done.append(("boot", device, once, uefi))
        self.boot_device = device
        self.changed.set()

    def power_reading_w(self) -> int:
        return self.watts if self.power_on else 190

    def log(self, protocol: str, command: str, **detail: object) -> None:
        self.lines.append((protocol, command, detail))


@contextmanager
def running_bmc(
    machine: Machine, *, suites: tuple[int, ...] = (3, 17), limits: Limits | None = None, **more
) -> Iterator[IpmiServer]:
    """A BMC on an event loop of its own thread, so that blocking clients can talk to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        start = serve_ipmi(
            address="127.0.0.1",
            port=0,
            username=USER,
            password=PASSWORD,
            suites=suites,
            chassis=machine,
            guid=GUID,
            limits=limits,
            **more,
        )
        server = asyncio.run_coroutine_threadsafe(start, loop).result(5)
        yield server
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


class Console:
    """A console that does exactly what a test tells it, also what the specification forbids."""

    def __init__(self, port: int, *, suite: int = 17, user: str = USER, password: str = PASSWORD) -> None:
        self.suite = crypto.SUITES[suite]
        self.user, self.password = user.encode(), password.encode()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
        self.console_id = secrets.randbits(31) + 1
        self.bmc_id = 0
        self.sequence = 0
        self.requests = 0
        self.keys: crypto.Keys | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def ask(self, packet: bytes) -> bytes:
        self.socket.send(packet)
        return self.socket.recv(2048)

    def silent(self, packet: bytes) -> bool:
        """True when `packet` gets no answer: the only datagrams to come answer later requests, served in order."""
        self.socket.send(packet)
        return all(self.ask(AUTH_CAPABILITIES)[4:21] == _CAPABLE for _ in range(3))

    def _set_up(self, payload_type: int, payload: bytes) -> bytes:
        answer = wire.parse(self.ask(wire.build_v20(payload, payload_type=payload_type)))
        assert isinstance(answer, wire.Envelope)
        assert answer.payload_type == payload_type + 1
        return answer.payload

    def open(self, *, privilege: int = 4, algorithms: tuple[int, int, int] | None = None) -> bytes:
        numbers = algorithms or (self.suite.authentication, self.suite.integrity, self.suite.confidentiality)
        blocks = b"".join(bytes([kind, 0, 0, 8, number, 0, 0, 0]) for kind, number in enumerate(numbers))
        answer = self._set_up(0x10, struct.pack("<BB2xI", 1, privilege, self.console_id) + blocks)
        if answer[1] == 0:
            (self.bmc_id,) = struct.unpack_from("<I", answer, 8)
        return answer

    def rakp_1_packet(self, *, role: int = 0x14) -> bytes:
        self.role, self.random = role, secrets.token_bytes(16)
        head = struct.pack("<B3xI", 2, self.bmc_id) + self.random
        return head + bytes([role, 0, 0, len(self.user)]) + self.user

    def rakp_1(self, *, role: int = 0x14) -> bytes:
        return self.take_rakp_2(self._set_up(0x12, self.rakp_1_packet(role=role)))

    def take_rakp_2(self, answer: bytes) -> bytes:
        self.bmc_random = answer[8:24]
        return answer

    @property
    def identity(self) -> bytes:
        return bytes([self.role, len(self.user)]) + self.user

    def rakp_3(self, *, status: int = 0) -> bytes:
        proof = self.suite.mac(self.password, self.bmc_random + struct.pack("<I", self.console_id) + self.identity)
        answer = self._set_up(0x14, struct.pack("<BB2xI", 3, status, self.bmc_id) + proof)
        sik = self.suite.mac(self.password, self.random + self.bmc_random + self.identity)
        self.keys = crypto.Keys.derive(self.suite, sik)
        return answer

    def log_in(self, *, privilege: int = 4) -> "Console":
        assert self.open(privilege=privilege)[1] == 0
        assert self.rakp_1(role=0x10 | privilege)[1] == 0
        assert self.rakp_3()[1] == 0
        return self

    def packet(
        self, net_fn: int, command: int, data: bytes = b"", *, sequence: int | None = None, again: bool = False
    ) -> bytes:
        """A signed and encrypted request; `again` keeps the request's own number, as a retry does."""
        assert self.keys is not None
        if not again:
            self.requests = (self.requests + 1) % 64
        head = bytes([0x20, net_fn << 2])
        body = bytes([0x81, self.requests << 2, command]) + data
        message = head + bytes([wire.checksum(head)]) + body + bytes([wire.checksum(body)])
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        packet = wire.build_v20(
            crypto.encrypt(self.keys.encryption, message),
            payload_type=0,
            session_id=self.bmc_id,
            sequence=sequence,
            encrypted=True,
            authenticated=True,
        )
        return crypto.sign(self.suite, self.keys.signing, packet)

    def read(self, datagram: bytes) -> tuple[int, bytes]:
        """Completion code and data of an answer, after checking everything about its envelope."""
        assert self.keys is not None
        answer = wire.parse(datagram)
        assert isinstance(answer, wire.Envelope)
        assert answer.encrypted
        assert answer.authenticated
        assert answer.session_id == self.console_id
        assert crypto.verify(self.suite, self.keys.signing, answer)
        message = crypto.decrypt(self.keys.encryption, answer.payload)
        assert sum(message[:3]) % 256 == sum(message[3:]) % 256 == 0
        return message[6], message[7:-1]

    def command(self, net_fn: int, command: int, data: bytes = b"") -> tuple[int, bytes]:
        return self.read(self.ask(self.packet(net_fn, command, data)))
