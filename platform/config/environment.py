"""Reads the CHAPEK_* environment. Only ``config.settings`` calls this; rooms get their settings from Django."""

import os
import secrets
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(f"CHAPEK_{name}", default)


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name)
    return default if value == "" else value.lower() in {"1", "true", "yes", "on"}


def number(name: str, default: int) -> int:
    value = text(name)
    try:
        return int(value) if value else default
    except ValueError:
        raise ImproperlyConfigured(f"CHAPEK_{name} must be a whole number, not {value!r}") from None


def items(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """``10.20.0.0/24,fd00::/64`` as networks."""
    try:
        return [ip_network(item) for item in items(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"CHAPEK_{name} must be networks like 10.20.0.0/24: {error}") from None


def secret_file(path: Path, *, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
    """The content of a secret file, made (mode 0600) at first start when it does not exist."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process was first; its content counts
            return path.read_text().strip()
        with os.fdopen(handle, "w") as file:
            file.write(make())
    return path.read_text().strip()


def hosts(*names: str) -> list[str]:
    """Host names and the hosts of addresses, each once: whoever says where we are reached is reached there."""
    found = [(urlsplit(name).hostname or "") if "://" in name else name for name in names]
    return list(dict.fromkeys(f"[{name}]" if ":" in name and "[" not in name else name for name in found if name))


def redis(url: str) -> str:
    """The address as it is, unless TLS without a check of the certificate is asked for: some clients would take it.

    ``rediss://host:6380/0?ssl_cert_reqs=required`` is the one form that the broker and all other clients understand.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"}:
        raise ImproperlyConfigured(
            f"CHAPEK_REDIS_URL must be redis://... or rediss://..., not {parts.scheme}://...: docs/settings.md"
        )
    asked = dict(parse_qsl(parts.query)).get("ssl_cert_reqs", "")
    if parts.scheme == "rediss" and asked != "required":
        raise ImproperlyConfigured(
            "CHAPEK_REDIS_URL asks for TLS and not for a check of the certificate: end it with ?ssl_cert_reqs=required"
        )
    return url


def database(url: str) -> dict[str, object]:
    """``postgresql://user:password@host:port/name?host=/socket/dir&sslmode=verify-full`` as Django's setting."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured("CHAPEK_DATABASE_URL must be postgresql://...; the invariants live in PostgreSQL")
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or query.pop("port", "")),
        "OPTIONS": query,
    }
