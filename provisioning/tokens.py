"""One-time tokens of nodes: 256 random bits in a URL, a SHA-256 in the database."""

import hashlib
import secrets

from django.conf import settings


def new_token() -> str:
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def boot_url(token: str, leaf: str) -> str:
    """Where a node finds its boot script, reports, or phones home, as it reaches the platform."""
    return f"{settings.CHAPEK_BOOT_URL}/boot/{token}/{leaf}"


def image_url(token: str, name: str) -> str:
    return f"{settings.CHAPEK_BOOT_URL}/images/{token}/{name}"
