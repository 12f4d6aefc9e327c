"""The table of IPMI commands: who may call them, how long their data is, and what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from lab.ipmi.sessions import Limits, Privilege, Session, SessionTable

if TYPE_CHECKING:
    from lab.chassis import Chassis
    from lab.ipmi.boot import BootOptions
    from lab.ipmi.power import PowerStatistics


class NetFn(IntEnum):
    CHASSIS = 0x00
    SENSOR = 0x04
    APPLICATION = 0x06
    STORAGE = 0x0A
    GROUP = 0x2C  # the first data byte says which body defines the command; DCMI is 0xDC


class Code(IntEnum):
    """Completion codes (table 5-2), and those that a single command defines."""

    OK = 0x00
    PARAMETER_NOT_SUPPORTED = 0x80
    NO_ACTIVE_LIMIT = 0x80
    LEVEL_NOT_AVAILABLE = 0x81
    INVALID_SESSION = 0x87
    BUSY = 0xC0
    INVALID_COMMAND = 0xC1
    RESERVATION_CANCELLED = 0xC5
    INVALID_LENGTH = 0xC7
    OUT_OF_RANGE = 0xC9
    CANNOT_RETURN_BYTES = 0xCA
    NOT_PRESENT = 0xCB
    INVALID_FIELD = 0xCC
    INSUFFICIENT_PRIVILEGE = 0xD4
    WRONG_STATE = 0xD5
    UNSPECIFIED = 0xFF


class CompletionError(Exception):
    """A command ends with a completion code other than OK, with data only where the command defines it."""

    def __init__(self, code: Code, data: bytes = b"") -> None:
        super().__init__(code)
        self.code = code
        self.data = data


@dataclass(slots=True)
class Bmc:
    """What the commands of one BMC share."""

    chassis: Chassis
    guid: bytes
    suites: tuple[int, ...]
    limits: Limits
    sessions: SessionTable
    boot: BootOptions
    power: PowerStatistics
    restart_cause: int = 0
    sdr_reservation: int = 0
    background: set[asyncio.Task[Code | None]] = field(default_factory=set)
    after_reply: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """One command as its handler sees it; `session` is None outside of a session."""

    bmc: Bmc
    session: Session | None
    data: bytes


Handler = Callable[[Call], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table. `privilege` None: answered outside of a session too. `lengths`: allowed bytes of data.

    `name` goes to the protocol log; None where the handler writes a better line itself.
    """

    handler: Handler
    privilege: Privilege | None
    lengths: range
    name: str | None


_table: dict[tuple[int, int], Command] = {}
_DCMI = 0xDC


def command(
    net_fn: NetFn,
    number: int,
    *,
    privilege: Privilege | None,
    length: int = 0,
    longest: int | None = None,
    own_log: bool = False,
) -> Callable[[Handler], Handler]:
    """Enter a handler into the table; its data has `length` to `longest` bytes (DCMI: without the body byte)."""

    def enter(handler: Handler) -> Handler:
        lengths = range(length, (length if longest is None else longest) + 1)
        name = None if own_log else getattr(handler, "__name__", "command").replace("_", " ")
        _table[net_fn, number] = Command(handler=handler, privilege=privilege, lengths=lengths, name=name)
        return handler

    return enter


async def dispatch(bmc: Bmc, session: Session | None, *, net_fn: int, number: int, data: bytes) -> tuple[Code, bytes]:
    """Run one command and give its completion code and data."""
    prefix = b""
    if net_fn == NetFn.GROUP:
        if data[:1] != bytes([_DCMI]):
            return Code.INVALID_COMMAND, data[:1]
        prefix, data = data[:1], data[1:]
    row = _table.get((net_fn, number))
    if row is None:
        return Code.INVALID_COMMAND, prefix
    if row.privilege is not None and (session is None or session.privilege < row.privilege):
        return Code.INSUFFICIENT_PRIVILEGE, prefix
    if len(data) not in row.lengths:
        return Code.INVALID_LENGTH, prefix
    if row.name is not None and session is not None:
        bmc.chassis.log("ipmi", row.name)
    try:
        return Code.OK, prefix + await row.handler(Call(bmc=bmc, session=session, data=data))
    except CompletionError as refusal:
        return refusal.code, prefix + refusal.data
