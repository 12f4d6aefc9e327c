"""Which public keys get in, and that each refusal says why."""

import base64
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import BadSshKey
from accounts.ssh_keys import parse_public_key
from tests.campaigns import examples


def line(private):
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def wire(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def pack(algorithm, *parts):
    return f"{algorithm} {base64.b64encode(wire(algorithm.encode(), *parts)).decode()}"


SOUND = {
    "ssh-ed25519": (line(ed25519.Ed25519PrivateKey.generate()), 256),
    "ecdsa-sha2-nistp256": (line(ec.generate_private_key(ec.SECP256R1())), 256),
    "ecdsa-sha2-nistp384": (line(ec.generate_private_key(ec.SECP384R1())), 384),
    "ecdsa-sha2-nistp521": (line(ec.generate_private_key(ec.SECP521R1())), 521),
    "ssh-rsa": (line(rsa.generate_private_key(65537, 3072)), 3072),
    "sk-ssh-ed25519@openssh.com": (
        pack(
            "sk-ssh-ed25519@openssh.com",
            ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
            b"ssh:",
        ),
        256,
    ),
    "sk-ecdsa-sha2-nistp256@openssh.com": (
        pack(
            "sk-ecdsa-sha2-nistp256@openssh.com",
            b"nistp256",
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            b"ssh:",
        ),
        256,
    ),
}
ED = SOUND["ssh-ed25519"][0]
PRIVATE = (
    ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
)


@pytest.mark.parametrize("algorithm", sorted(SOUND))
def test_a_sound_key_is_taken_and_keeps_its_line_and_comment(algorithm):
    text, bits = SOUND[algorithm]
    key = parse_public_key(text=f"  {text}   karel@laptop  work \n")
    assert (key.algorithm, key.bits) == (algorithm, bits)
    assert key.line == f"{text} karel@laptop work"
    assert key.comment == "karel@laptop work"
    assert key.fingerprint.startswith("SHA256:")
    assert len(key.fingerprint) == 50


def test_the_fingerprint_is_what_ssh_keygen_prints():
    known = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    # GitHub's own published host key.
    assert parse_public_key(text=known).fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


# Random keys stay out of the tests' names: workers that run side by side must agree on these.
REFUSED = {
    "nothing": ("", "No key"),
    "blanks": ("   \n", "No key"),
    "a word": ("hello", "not an SSH public key"),
    "a type alone": ("ssh-ed25519", "damaged"),
    "a short blob": ("ssh-ed25519 AAAA", "damaged"),
    "no base64": ("ssh-ed25519 %%%%", "not base64"),
    "no ascii": ("ssh-ed25519 é", "not base64"),
    "a cut key": (ED[:-8], "damaged"),
    "another type": (ED.replace("ssh-ed25519", "ssh-rsa", 1), "does not hold what its first word says"),
    "RSA of 2048": (line(rsa.generate_private_key(65537, 2048)), "3072 bits; this one has 2048"),
    "RSA of 1024": (line(rsa.generate_private_key(65537, 1024)), "this one has 1024"),  # noqa: S505 - that is the point
    "RSA with e = 3": (line(rsa.generate_private_key(3, 3072)), "weak public exponent"),
    "DSA": (line(dsa.generate_private_key(1024)), "DSA"),  # noqa: S505 - that is the point
    "a private key": (PRIVATE, "private key"),
    "PuTTY's private key": ("PuTTY-User-Key-File-3: ssh-ed25519", "private key"),
    "SSH2 form": ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "SSH2 form"),
    "two lines": (f"{ED}\n{ED}", "one key at a time"),
    "two lines by CR": (f"{ED}\r{ED}", "one key at a time"),
    "control characters": (f"{ED} a\x1b[2Jb", "control characters"),
    "a command": (f'command="rm -rf /" {ED}', "options"),
    "no-pty": (f"no-pty,no-X11-forwarding {ED}", "options"),
    "restrict": (f"restrict {ED}", "options"),
    "from": (f'from="10.0.0.0/8" {ED}', "options"),
    "a certificate": ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
    "an unknown kind": ("ssh-xmss@openssh.com AAAA", "not taken"),
    "a novel": (f"{ED} {'x' * 12_000}", "too long"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_sound_public_key_is_refused_with_its_reason(what):
    text, reason = REFUSED[what]
    with pytest.raises(BadSshKey, match=reason):
        parse_public_key(text=text)


def test_an_rsa_key_that_would_take_ages_to_check_is_refused():
    modulus = (1 << 20_000) + 1
    number = b"\x00" + modulus.to_bytes(2501, "big")
    with pytest.raises(BadSshKey):
        parse_public_key(text=pack("ssh-rsa", b"\x01\x00\x01", number))


def test_bytes_after_the_key_are_refused():
    blob = base64.b64decode(ED.split()[1]) + b"tail"
    with pytest.raises(BadSshKey, match="damaged"):
        parse_public_key(text=f"ssh-ed25519 {base64.b64encode(blob).decode()}")


@settings(max_examples=examples(200, full_count=20_000))
@given(text=st.text(max_size=200) | st.binary(max_size=80).map(lambda raw: f"ssh-rsa {base64.b64encode(raw).decode()}"))
def test_garbage_is_refused_and_never_breaks_the_parser(text):
    with pytest.raises(BadSshKey):
        parse_public_key(text=text)
