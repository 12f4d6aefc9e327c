"""The Ed25519 key that signs checkpoints: a PEM file, made at first use, its public half kept in the database.

A file that vanished or was exchanged is never replaced in silence: a log that changes its key unannounced cannot be
told from a forged one. ``services.adopt_signing_key`` is the announced way.
"""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from common.clock import database_now
from compliance.audit.errors import SigningKeyUnusable
from compliance.audit.models import SigningKey


def signing_key() -> Ed25519PrivateKey:
    """The key in force. Raises SigningKeyUnusable when its file is missing, unreadable or another than announced."""
    path = Path(settings.CHAPEK_SIGNING_KEY_FILE)
    key = read_key(path)
    if key.public_key().public_bytes_raw() != announced_key():
        raise SigningKeyUnusable(f"{path} holds another key than the one that signs this installation's logs")
    return key


def signing_key_for_sealing() -> Ed25519PrivateKey:
    """The key in force; made and announced by the first caller ever, who holds the sequencer's lock."""
    if announced_key() is None:
        path = Path(settings.CHAPEK_SIGNING_KEY_FILE)
        if not path.exists():
            _make(path)
        announce(read_key(path))
    return signing_key()


def announce(key: Ed25519PrivateKey) -> None:
    """From now on this key signs; checkpoints signed before keep their old key."""
    SigningKey.objects.create(public=key.public_key().public_bytes_raw(), created_at=database_now())


def announced_key() -> bytes | None:
    """The public key in force, 32 bytes; None before the first signature."""
    newest = SigningKey.objects.order_by("-id").values_list("public", flat=True).first()
    return None if newest is None else bytes(newest)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises SigningKeyUnusable, without a word of the file's content."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        raise SigningKeyUnusable(f"the signing key {path} is missing") from None
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyUnusable(f"the signing key {path} cannot be read ({type(error).__name__})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(f"the signing key {path} is no Ed25519 key")
    return key


def _make(path: Path) -> None:
    """Write a new key for its owner alone; whole or not at all, and of several makers the first one counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails when the name is taken, and never shows half a file
        except FileExistsError:
            return
    except OSError as error:
        raise SigningKeyUnusable(f"the signing key {path} cannot be made: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
