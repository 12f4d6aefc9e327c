"""Opening an RMCP+ session: open session request and RAKP messages 1 to 4 (IPMI 2.0, 13.17-13.24)."""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from lab.ipmi.crypto import SUITES, Keys, Suite
from lab.ipmi.sessions import Peer, Privilege, Session, SessionTable, Stage
from lab.ipmi.wire import MalformedError

_NAME_ONLY_LOOKUP = 0x10
_MAX_NAME = 16
_RAKP_1_HEADER = 28
_RAKP_3_HEADER = 8


class Status(IntEnum):
    """RMCP+ and RAKP status codes (table 13-15) that this BMC gives."""

    OK = 0x00
    NO_RESOURCES = 0x01
    INVALID_SESSION = 0x02
    INVALID_AUTHENTICATION = 0x04
    INVALID_INTEGRITY = 0x05
    INVALID_ROLE = 0x09
    UNAUTHORIZED_ROLE = 0x0A
    INVALID_NAME_LENGTH = 0x0C
    UNAUTHORIZED_NAME = 0x0D
    INTEGRITY_CHECK_FAILED = 0x0F
    INVALID_CONFIDENTIALITY = 0x10
    NO_SUITE_MATCH = 0x11


@dataclass(frozen=True, slots=True)
class Account:
    """The one administrator of this BMC; names have at most 16 bytes, passwords 20."""

    name: bytes
    password: bytes

    def __repr__(self) -> str:
        return f"Account(name={self.name!r})"


class Handshake:
    """Answers the three session set-up messages; a None answer means silence."""

    def __init__(
        self,
        *,
        account: Account,
        guid: bytes,
        suites: tuple[int, ...],
        sessions: SessionTable,
        note: Callable[..., None],
    ) -> None:
        self._account = account
        self._guid = guid
        # Strongest first, for consoles that leave the choice to the BMC.
        self._allowed = tuple(SUITES[number] for number in sorted(suites, reverse=True))
        self._sessions = sessions
        self._note = note

    def open_session(self, payload: bytes, peer: Peer) -> bytes:
        """Answer an open session request: a session id, or the status that says what was not acceptable."""
        if len(payload) < 32:
            raise MalformedError
        tag, wanted, console_id = struct.unpack_from("<BB2xI", payload)
        proposal = tuple(_algorithm(payload[8 + 8 * kind : 16 + 8 * kind], kind=kind) for kind in range(3))
        chosen = self._choose(*proposal)
        if isinstance(chosen, Status):
            self._note("session refused", reason=chosen.name)
            return struct.pack("<BBBxI", tag, chosen, 0, console_id)
        privilege = wanted & 0x0F
        if privilege > Privilege.ADMINISTRATOR:
            return struct.pack("<BBBxI", tag, Status.INVALID_ROLE, 0, console_id)
        maximum = Privilege(privilege or Privilege.ADMINISTRATOR)
        session = self._sessions.open(console_id=console_id, suite=chosen, max_privilege=maximum, peer=peer)
        if session is None:
            self._note("session refused", reason=Status.NO_RESOURCES.name)
            return struct.pack("<BBBxI", tag, Status.NO_RESOURCES, 0, console_id)
        algorithms = (chosen.authentication, chosen.integrity, chosen.confidentiality)
        answer = struct.pack("<BBBxII", tag, Status.OK, maximum, console_id, session.bmc_id)
        return answer + b"".join(bytes([kind, 0, 0, 8, number, 0, 0, 0]) for kind, number in enumerate(algorithms))

    def _choose(self, authentication: int | None, integrity: int | None, confidentiality: int | None) -> Suite | Status:
        """The allowed suite that matches; None as an algorithm leaves it to the BMC."""
        for suite in self._allowed:
            if (
                authentication in {None, suite.authentication}
                and integrity in {None, suite.integrity}
                and confidentiality in {None, suite.confidentiality}
            ):
                return suite
        known = SUITES.values()
        if authentication not in {None, *(suite.authentication for suite in known)}:
            return Status.INVALID_AUTHENTICATION
        if integrity not in {None, *(suite.integrity for suite in known)}:
            return Status.INVALID_INTEGRITY
        if confidentiality not in {None, *(suite.confidentiality for suite in known)}:
            return Status.INVALID_CONFIDENTIALITY
        return Status.NO_SUITE_MATCH

    def rakp_1(self, payload: bytes) -> bytes | None:
        """Answer RAKP 1 with RAKP 2: our random number, GUID and proof that we know the account's password."""
        if len(payload) < _RAKP_1_HEADER:
            raise MalformedError
        tag, bmc_id, random, role, length = struct.unpack_from("<B3xI16sB2xB", payload)
        session = self._sessions.get(bmc_id)
        if session is None:
            return struct.pack("<BB2xI", tag, Status.INVALID_SESSION, 0)
        if session.handshake is not None:
            return _repeated(session, payload)
        status = self._judge(session, role=role, length=length, name=payload[_RAKP_1_HEADER:])
        if status is not Status.OK:
            self._sessions.close(session)
            self._note("session refused", reason=status.name)
            return struct.pack("<BB2xI", tag, status, session.console_id)
        session.role = role
        session.console_random = random
        session.bmc_random = secrets.token_bytes(16)
        session.stage = Stage.CHALLENGED
        ids = struct.pack("<II", session.console_id, session.bmc_id)
        message = ids + random + session.bmc_random + self._guid + self._identity(session)
        answer = struct.pack("<BB2xI", tag, Status.OK, session.console_id)
        answer += session.bmc_random + self._guid + session.suite.mac(self._account.password, message)
        session.handshake = (payload, answer)
        return answer

    def _judge(self, session: Session, *, role: int, length: int, name: bytes) -> Status:
        privilege = role & ~_NAME_ONLY_LOOKUP
        if not Privilege.CALLBACK <= privilege <= Privilege.ADMINISTRATOR:
            return Status.INVALID_ROLE
        if length > _MAX_NAME or length != len(name):
            return Status.INVALID_NAME_LENGTH
        if not hmac.compare_digest(name, self._account.name):
            return Status.UNAUTHORIZED_NAME
        if privilege > session.max_privilege:
            return Status.UNAUTHORIZED_ROLE
        return Status.OK

    def _identity(self, session: Session) -> bytes:
        return bytes([session.role, len(self._account.name)]) + self._account.name

    def rakp_3(self, payload: bytes) -> bytes | None:
        """Answer RAKP 3 with RAKP 4: the session is active, or gone when the console does not know the password."""
        if len(payload) < _RAKP_3_HEADER:
            raise MalformedError
        tag, status, bmc_id = struct.unpack_from("<BB2xI", payload)
        session = self._sessions.get(bmc_id)
        if session is None:
            return struct.pack("<BB2xI", tag, Status.INVALID_SESSION, 0)
        if session.stage is Stage.ACTIVE:
            return _repeated(session, payload)
        if session.stage is not Stage.CHALLENGED:
            return None
        if status != Status.OK:
            # The console gives up: it found our RAKP 2 wrong, most likely because its password differs.
            self._sessions.close(session)
            self._note("session abandoned by console", status=status)
            return None
        suite, password = session.suite, self._account.password
        identity = self._identity(session)
        proof = suite.mac(password, session.bmc_random + struct.pack("<I", session.console_id) + identity)
        if not hmac.compare_digest(proof, payload[_RAKP_3_HEADER:]):
            self._sessions.close(session)
            self._note("session refused", reason=Status.INTEGRITY_CHECK_FAILED.name)
            return struct.pack("<BB2xI", tag, Status.INTEGRITY_CHECK_FAILED, session.console_id)
        # No BMC key (Kg) is set, so the user's key stands in for it (13.31).
        integrity_key = suite.mac(password, session.console_random + session.bmc_random + identity)
        session.keys = Keys.derive(suite, integrity_key)
        session.privilege = min(Privilege.USER, Privilege(session.role & 0x0F))
        session.max_privilege = Privilege(session.role & 0x0F)
        session.stage = Stage.ACTIVE
        self._sessions.touch(session)
        self._note("session opened", suite=suite.number)
        check = suite.short_mac(integrity_key, session.console_random + struct.pack("<I", session.bmc_id) + self._guid)
        answer = struct.pack("<BB2xI", tag, Status.OK, session.console_id) + check
        session.handshake = (payload, answer)
        return answer


def _algorithm(block: bytes, *, kind: int) -> int | None:
    """The algorithm number of one proposal block of eight bytes; None when the console leaves it to the BMC."""
    if block[0] != kind or block[3] not in {0, 8}:
        raise MalformedError
    return block[4] & 0x3F if block[3] else None


def _repeated(session: Session, payload: bytes) -> bytes | None:
    """The same answer to the same handshake message; anything else in its place gets silence."""
    if session.handshake is None or not hmac.compare_digest(session.handshake[0], payload):
        return None
    return session.handshake[1]
