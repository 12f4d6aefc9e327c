"""One-time tokens of nodes: 256 random bits in a URL, a SHA-256 in the database."""

import base64
import hashlib
import secrets

from django.conf import settings
from django.utils.crypto import salted_hmac


def new_token() -> str:
    return secrets.token_urlsafe(32)


def token_by_mac(boot_ref: str) -> str:
    """The token of a boot that is asked for by MAC address: the same to all who ask, so that the second is seen."""
    mark = salted_hmac("chapek.boot.by_mac", boot_ref, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(mark).decode().rstrip("=")


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def boot_url(token: str, leaf: str) -> str:
    """Where a node finds its boot script, reports, or phones home, as it reaches the platform."""
    return f"{settings.CHAPEK_BOOT_URL}/boot/{token}/{leaf}"


def image_url(token: str, name: str) -> str:
    return f"{settings.CHAPEK_BOOT_URL}/images/{token}/{name}"
