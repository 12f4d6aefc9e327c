"""The settings of one set of processes, as environment variables: the only way anything reaches config.settings."""

import os
from pathlib import Path

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV")
"""Of our own environment, what children may see; a stray setting of the shell must not change a process under test."""


def platform_environment(
    *,
    state_dir: Path,
    database_url: str,
    redis_url: str,
    public_url: str,
    boot_url: str | None = None,
    extra: dict[str, str] | None = None,
) -> dict[str, str]:
    """All CHAPEK_* settings for processes that keep everything below `state_dir`; `extra` overrides.

    `boot_url` is where nodes reach the platform; None means the public address.
    """
    settings = {
        "CHAPEK_DATABASE_URL": database_url,
        "CHAPEK_REDIS_URL": redis_url,
        "CHAPEK_STATE_DIR": str(state_dir),
        "CHAPEK_SECRET_KEY_FILE": str(state_dir / "secret_key"),
        "CHAPEK_KEYRING_FILE": str(state_dir / "keyring.json"),
        "CHAPEK_SIGNING_KEY_FILE": str(state_dir / "signing_key.pem"),
        "CHAPEK_PUBLIC_URL": public_url,
        "CHAPEK_BOOT_URL": boot_url or public_url,
        "CHAPEK_BOOT_ARTEFACTS_DIR": str(state_dir / "boot"),
        "CHAPEK_IMAGES_DIR": str(state_dir / "images"),
        "CHAPEK_MAIL_DIR": str(state_dir / "mail"),
        "CHAPEK_EMBEDDED": "1",
        "CHAPEK_DEBUG": "0",
        "CHAPEK_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
    }
    return settings | (extra or {})


def inherited_environment() -> dict[str, str]:
    """What a child sees besides its settings."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "config.settings"} | kept


def make_state_folders(state_dir: Path) -> None:
    """Make the folders that settings name; logs, mails and the schedule for the owner alone.

    The state folder itself can be walked through by others: the database's user and the lab's nodes live below it.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    state_dir.chmod(0o711)
    for name in ("beat", "log", "mail"):
        (state_dir / name).mkdir(exist_ok=True, mode=0o700)
        (state_dir / name).chmod(0o700)
    for name in ("boot", "images", "lab"):
        (state_dir / name).mkdir(exist_ok=True)
