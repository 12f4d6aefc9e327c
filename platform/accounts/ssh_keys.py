"""Which SSH public keys may be put on a node, decided strictly and with the reason said.

Taken: Ed25519; ECDSA on the NIST curves P-256, P-384 and P-521; RSA from 3072 to 16384 bits (NIST SP 800-57 part 1:
128-bit strength to 2030 and beyond needs 3072); and the hardware-backed ``sk-ssh-ed25519@openssh.com`` and
``sk-ecdsa-sha2-nistp256@openssh.com``, which the sshd of every offered image understands (OpenSSH 8.2 and later).
Refused: DSA, shorter RSA, certificates, private keys, several lines, and lines that begin with options
(``command="..."`` would change what a login on the tenant's own node does, unseen in any list of keys).
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from django.utils.translation import gettext as _

from accounts.errors import BadSshKey

LONGEST_TEXT = 12_000
RSA_SHORTEST_BITS = 3072
RSA_LONGEST_BITS = 16_384
LONGEST_COMMENT = 100
_BITS = {
    "ssh-ed25519": 256,
    "sk-ssh-ed25519@openssh.com": 256,
    "ecdsa-sha2-nistp256": 256,
    "sk-ecdsa-sha2-nistp256@openssh.com": 256,
    "ecdsa-sha2-nistp384": 384,
    "ecdsa-sha2-nistp521": 521,
}
ALGORITHMS = frozenset({*_BITS, "ssh-rsa"})
_LOOKS_LIKE_A_TYPE = re.compile(r"^(sk-)?(ssh|ecdsa)-[a-z0-9-]+(@[a-z0-9.]+)?$")


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """``line`` is the canonical authorized_keys line; ``fingerprint`` is ``SHA256:...`` as ssh-keygen -l prints it."""

    line: str
    algorithm: str
    bits: int
    fingerprint: str
    comment: str


def parse_public_key(*, text: str) -> PublicKey:
    """Read one OpenSSH public key line. Raises BadSshKey with the reason; the text itself is never repeated."""
    if len(text) > LONGEST_TEXT:
        raise BadSshKey(_("This is too long for an SSH public key."))
    text = text.strip()
    if not text:
        raise BadSshKey(_("No key was given."))
    if "PRIVATE KEY" in text or text.startswith("PuTTY-User-Key-File"):
        raise BadSshKey(
            _("This is a private key. Never send it anywhere; treat it as lost if this page was not served over TLS."),
            hint=_("paste the content of the file that ends in .pub"),
        )
    if text.startswith("---- BEGIN SSH2 PUBLIC KEY"):
        raise BadSshKey(_("This key is in SSH2 form."), hint=_("convert it with: ssh-keygen -i -f key.pub"))
    if len(text.splitlines()) > 1:
        raise BadSshKey(_("Give one key at a time, on one line."))
    if not text.isprintable():
        raise BadSshKey(_("The line holds control characters."))
    algorithm, _gap, rest = text.partition(" ")
    _refuse_by_name(algorithm)
    encoded, _gap, comment = rest.strip().partition(" ")
    blob = _decode(encoded)
    return PublicKey(
        line=f"{algorithm} {encoded} {_clean(comment)}".rstrip(),
        algorithm=algorithm,
        bits=_bits_of_sound_key(algorithm, encoded),
        fingerprint="SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("="),
        comment=_clean(comment),
    )


def _refuse_by_name(algorithm: str) -> None:
    if algorithm in ALGORITHMS:
        return
    if algorithm == "ssh-dss":
        raise BadSshKey(_("DSA keys are broken and refused by every current SSH server."))
    if "-cert-v0" in algorithm:
        raise BadSshKey(_("This is a certificate, not a key."), hint=_("give the public key that it certifies"))
    if _LOOKS_LIKE_A_TYPE.match(algorithm):
        raise BadSshKey(_("Keys of this kind are not taken."), hint=_("use Ed25519, ECDSA, or RSA of 3072 bits"))
    if "=" in algorithm or "," in algorithm or algorithm.startswith(("no-", "restrict", "cert-authority")):
        raise BadSshKey(_("The line begins with options; only the key itself is taken."))
    raise BadSshKey(_("This is not an SSH public key."))


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadSshKey(_("The key is damaged: its middle part is not base64. Was it cut when copied?")) from None


def _bits_of_sound_key(algorithm: str, encoded: str) -> int:
    try:
        key = load_ssh_public_key(f"{algorithm} {encoded}".encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise BadSshKey(_("The key is damaged: it does not hold what its first word says.")) from None
    if not isinstance(key, RSAPublicKey):
        return _BITS[algorithm]
    if key.key_size < RSA_SHORTEST_BITS:
        raise BadSshKey(
            _("An RSA key needs at least 3072 bits; this one has %(bits)d.") % {"bits": key.key_size},
            hint=_("make a better one: ssh-keygen -t ed25519"),
        )
    if key.key_size > RSA_LONGEST_BITS:
        raise BadSshKey(_("An RSA key of more than 16384 bits is not taken."))
    exponent = key.public_numbers().e
    if exponent < 65_537 or exponent % 2 == 0:
        raise BadSshKey(_("This RSA key has a weak public exponent."))
    return key.key_size


def _clean(comment: str) -> str:
    return " ".join(comment.split())[:LONGEST_COMMENT]
