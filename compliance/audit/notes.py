"""Signed notes and checkpoints as C2SP writes them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), Ed25519 only."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = b"\x01"


def key_id(*, name: str, public: bytes) -> bytes:
    """Four bytes that tell keys of one name apart; a hint, no fingerprint."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def verifier_key(*, name: str, public: bytes) -> str:
    """``<name>+<key id>+<base64 of type and key>``: what a verifier must get by another way than the log itself."""
    return f"{name}+{key_id(name=name, public=public).hex()}+{base64.b64encode(ED25519 + public).decode()}"


def sign(*, text: str, name: str, key: Ed25519PrivateKey) -> str:
    """The note: ``text`` (ending in a newline), an empty line, one signature line."""
    public = key.public_key().public_bytes_raw()
    signature = base64.b64encode(key_id(name=name, public=public) + key.sign(text.encode())).decode()
    return f"{text}\n\N{EM DASH} {name} {signature}\n"


def checkpoint_text(*, origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
