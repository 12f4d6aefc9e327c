"""RMCP+ sessions of one BMC: a bounded table, replay windows, privilege, expiry."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from lab.ipmi.crypto import Keys, Suite

Peer = tuple[str, int]
_WINDOW = 16  # sequence numbers accepted on either side of the highest one seen (IPMI 2.0, 6.12.13)
_SEQUENCE_LIMIT = 1 << 32


class Privilege(IntEnum):
    CALLBACK = 1
    USER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4


class Stage(Enum):
    OPENED = "open session answered"
    CHALLENGED = "RAKP 2 sent"
    ACTIVE = "RAKP 4 sent"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one BMC bears. Counts of sessions and requests; seconds elsewhere."""

    sessions: int = 8
    sessions_per_peer: int = 4
    requests_in_flight: int = 8
    handshake_s: float = 10.0
    idle_s: float = 60.0
    boot_flags_s: float = 60.0


class ReplayWindow:
    """Accepts each sequence number once, near the highest number seen; 0 never."""

    def __init__(self) -> None:
        self.highest = 0
        self._seen = 0  # bit n: number highest - n was accepted

    def accept(self, sequence: int) -> bool:
        ahead = sequence - self.highest
        if not 0 < sequence < _SEQUENCE_LIMIT or ahead > _WINDOW or ahead <= -_WINDOW:
            return False
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & ((1 << _WINDOW) - 1)
            self.highest = sequence
            return True
        if self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True


@dataclass(slots=True, eq=False)
class Session:
    """One console's session, from the open session request on."""

    bmc_id: int
    console_id: int
    suite: Suite
    max_privilege: Privilege
    peer: Peer
    touched_s: float
    stage: Stage = Stage.OPENED
    privilege: Privilege = Privilege.USER
    role: int = 0
    console_random: bytes = b""
    bmc_random: bytes = b""
    keys: Keys | None = None
    inbound: ReplayWindow = field(default_factory=ReplayWindow)
    outbound: int = 0
    in_flight: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # The last handshake request and answer, and the last command, answer and time: a console that lost an answer on
    # the way asks again with the same bytes, and must get the same answer without a second effect.
    handshake: tuple[bytes, bytes] | None = None
    last_command: tuple[bytes, bytes, float] | None = None

    def next_outbound(self) -> int:
        """Session sequence number of the next packet; 0 is skipped on wrap-around."""
        self.outbound = self.outbound % (_SEQUENCE_LIMIT - 1) + 1
        return self.outbound


class SessionTable:
    """All sessions of one BMC, never more than `limits.sessions`; the clock counts monotonic seconds."""

    def __init__(self, *, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._by_id: dict[int, Session] = {}

    def __len__(self) -> int:
        self.expire()
        return len(self._by_id)

    def active(self) -> int:
        self.expire()
        return sum(1 for session in self._by_id.values() if session.stage is Stage.ACTIVE)

    def get(self, bmc_id: int) -> Session | None:
        self.expire()
        return self._by_id.get(bmc_id)

    def open(self, *, console_id: int, suite: Suite, max_privilege: Privilege, peer: Peer) -> Session | None:
        """A new session in its first stage, or None when the BMC or this peer has no session left."""
        self.expire()
        of_peer = sum(1 for session in self._by_id.values() if session.peer == peer)
        if len(self._by_id) >= self._limits.sessions or of_peer >= self._limits.sessions_per_peer:
            return None
        bmc_id = 0
        while bmc_id == 0 or bmc_id in self._by_id:
            bmc_id = secrets.randbits(32)
        session = Session(
            bmc_id=bmc_id,
            console_id=console_id,
            suite=suite,
            max_privilege=max_privilege,
            peer=peer,
            touched_s=self._clock(),
        )
        self._by_id[bmc_id] = session
        return session

    def touch(self, session: Session) -> None:
        session.touched_s = self._clock()

    def close(self, session: Session) -> None:
        self._by_id.pop(session.bmc_id, None)

    def close_all(self) -> None:
        self._by_id.clear()

    def expire(self) -> None:
        """Forget sessions that were idle, or in their handshake, for too long."""
        now_s = self._clock()
        for session in list(self._by_id.values()):
            allowed_s = self._limits.idle_s if session.stage is Stage.ACTIVE else self._limits.handshake_s
            if now_s - session.touched_s > allowed_s:
                self.close(session)
