"""Cipher suites 3 and 17 of RMCP+: exchange codes, session keys, integrity trailer, AES-CBC (IPMI 2.0, 13.28-33)."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lab.ipmi.wire import Envelope, MalformedError

_BLOCK = 16
_NEXT_HEADER = 0x07
_CONST_1 = b"\x01" * 20
_CONST_2 = b"\x02" * 20


@dataclass(frozen=True, slots=True)
class Suite:
    """One row of the cipher suite table: algorithm numbers, hash, and bytes of a shortened integrity code."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: str
    code_length: int

    def mac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self.digest)

    def short_mac(self, key: bytes, message: bytes) -> bytes:
        return self.mac(key, message)[: self.code_length]


SUITES: dict[int, Suite] = {
    3: Suite(number=3, authentication=1, integrity=1, confidentiality=1, digest="sha1", code_length=12),
    17: Suite(number=17, authentication=3, integrity=4, confidentiality=1, digest="sha256", code_length=16),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The three secrets of an established session."""

    session_integrity: bytes
    signing: bytes
    encryption: bytes

    @classmethod
    def derive(cls, suite: Suite, session_integrity_key: bytes) -> Keys:
        return cls(
            session_integrity=session_integrity_key,
            signing=suite.mac(session_integrity_key, _CONST_1),
            encryption=suite.mac(session_integrity_key, _CONST_2)[:_BLOCK],
        )


def encrypt(key: bytes, payload: bytes) -> bytes:
    """AES-CBC-128 with a fresh vector in front; padding counts 1, 2, 3 and ends with its own length."""
    pad = -(len(payload) + 1) % _BLOCK
    padded = payload + bytes(range(1, pad + 1)) + bytes([pad])
    vector = secrets.token_bytes(_BLOCK)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return vector + encryptor.update(padded) + encryptor.finalize()


def decrypt(key: bytes, payload: bytes) -> bytes:
    """Undo `encrypt`. Raises MalformedError on a wrong length or padding."""
    if len(payload) < 2 * _BLOCK or len(payload) % _BLOCK:
        raise MalformedError
    decryptor = Cipher(algorithms.AES(key), modes.CBC(payload[:_BLOCK])).decryptor()
    padded = decryptor.update(payload[_BLOCK:]) + decryptor.finalize()
    pad = padded[-1]
    if pad >= len(padded) or padded[-1 - pad : -1] != bytes(range(1, pad + 1)):
        raise MalformedError
    return padded[: -1 - pad]


def sign(suite: Suite, key: bytes, packet: bytes) -> bytes:
    """Append pad, pad length, next header and authentication code to a packet made by `wire.build_v20`."""
    covered = packet[4:]
    pad = -(len(covered) + 2) % 4
    trailer = b"\xff" * pad + bytes([pad, _NEXT_HEADER])
    return packet + trailer + suite.short_mac(key, covered + trailer)


def verify(suite: Suite, key: bytes, envelope: Envelope) -> bool:
    """Whether the integrity trailer is well formed and its code is right; the comparison takes constant time."""
    if len(envelope.trailer) < suite.code_length + 2:
        return False
    covered, code = envelope.raw[: -suite.code_length], envelope.raw[-suite.code_length :]
    genuine = hmac.compare_digest(suite.short_mac(key, covered), code)
    pad = len(envelope.trailer) - suite.code_length - 2
    return genuine and covered[-2] == pad and covered[-1] == _NEXT_HEADER
