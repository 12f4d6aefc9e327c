"""Envelope encryption of secrets at rest (BMC passwords, user data, one-time keys).

Each value has a data key of its own, sealed by a key-encryption key from the keyring: a JSON file, or the environment
variable CHAPEK_KEYRING with the same content, ``{"active": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}``. Rotation
adds a key, makes it active, and re-wraps data keys; values themselves are not decrypted for it. AES-256-GCM both times,
bound to ``context`` so that a sealed value cannot be moved to another column.
"""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from common.errors import Fault, PlatformFault

_VERSION = 1
_NONCE = 12
_WRAPPED = 32 + 16


class VaultError(PlatformFault):
    """A sealed value cannot be opened: wrong keyring, wrong column or damaged bytes. Never says which bytes."""

    code = "vault"
    fault = Fault.OPERATOR
    retryable = False
    hint = "check that CHAPEK_KEYRING_FILE holds every key that was ever active"


@dataclass(frozen=True)
class Keyring:
    active: str
    keys: dict[str, bytes]

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        raw = json.loads(text)
        keys = {name: base64.b64decode(value) for name, value in raw["keys"].items()}
        if raw["active"] not in keys or any(len(key) != 32 for key in keys.values()):
            raise VaultError("the keyring names no usable active key of 32 bytes")
        return cls(active=raw["active"], keys=keys)


def new_keyring_text() -> str:
    """A keyring with one fresh key. Its name is random too, so that a lost keyring is told from a wrong column."""
    name = f"k-{secrets.token_hex(4)}"
    return json.dumps({"active": name, "keys": {name: base64.b64encode(secrets.token_bytes(32)).decode()}})


@lru_cache(maxsize=4)
def _parse_cached(text: str) -> Keyring:
    return Keyring.parse(text)


def keyring() -> Keyring:
    """The keyring in force; read again when the file changes."""
    text = os.environ.get("CHAPEK_KEYRING") or Path(settings.CHAPEK_KEYRING_FILE).read_text()
    return _parse_cached(text)


def seal(plaintext: bytes | str, *, context: str) -> bytes:
    """Encrypt for the column ``context`` (for example ``inventory.bmc.password``)."""
    data = plaintext.encode() if isinstance(plaintext, str) else plaintext
    ring = keyring()
    name = ring.active.encode()
    data_key = secrets.token_bytes(32)
    wrap_nonce, nonce = secrets.token_bytes(_NONCE), secrets.token_bytes(_NONCE)
    wrapped = AESGCM(ring.keys[ring.active]).encrypt(wrap_nonce, data_key, context.encode())
    sealed = AESGCM(data_key).encrypt(nonce, data, context.encode())
    return bytes([_VERSION, len(name)]) + name + wrap_nonce + wrapped + nonce + sealed


def _split(blob: bytes) -> tuple[str, bytes, bytes, bytes]:
    """(key name, wrap nonce, wrapped data key, nonce + ciphertext)"""
    if len(blob) < 2 or blob[0] != _VERSION:
        raise VaultError("not a sealed value")
    end = 2 + blob[1]
    wrapped_at = end + _NONCE
    rest_at = wrapped_at + _WRAPPED
    return blob[2:end].decode(), blob[end:wrapped_at], blob[wrapped_at:rest_at], blob[rest_at:]


def _data_key(blob: bytes, context: str) -> tuple[bytes, bytes]:
    name, wrap_nonce, wrapped, rest = _split(blob)
    key = keyring().keys.get(name)
    if key is None:
        raise VaultError(f"the keyring has no key named {name}")
    return AESGCM(key).decrypt(wrap_nonce, wrapped, context.encode()), rest


def unseal(blob: bytes | memoryview, *, context: str) -> bytes:
    """Raises VaultError when the value was sealed for another column or key, or was damaged."""
    try:
        data_key, rest = _data_key(bytes(blob), context)
        return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], context.encode())
    except InvalidTag:
        raise VaultError("a sealed value does not open") from None


def rewrap(blob: bytes | memoryview, *, context: str) -> bytes:
    """The same value under the active key; the ciphertext itself stays."""
    ring = keyring()
    try:
        data_key, rest = _data_key(bytes(blob), context)
    except InvalidTag:
        raise VaultError("a sealed value does not open") from None
    name = ring.active.encode()
    wrap_nonce = secrets.token_bytes(_NONCE)
    wrapped = AESGCM(ring.keys[ring.active]).encrypt(wrap_nonce, data_key, context.encode())
    return bytes([_VERSION, len(name)]) + name + wrap_nonce + wrapped + rest


@dataclass(frozen=True)
class SealedColumn:
    model: str
    field: str
    context: str


_columns: list[SealedColumn] = []


def register_column(*, model: str, field: str, context: str) -> str:
    """Make a column known to key rotation (``manage.py rotate_keys``). Returns the context."""
    _columns.append(SealedColumn(model=model, field=field, context=context))
    return context


def sealed_columns() -> list[SealedColumn]:
    return list(_columns)
