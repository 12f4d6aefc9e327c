"""The keyring as a file: read, changed and put back whole, mode 0600, and never shown.

Beside what ``common.vault`` reads, the file may name a ``staged`` key: one that every host has to know before it seals.
"""

import json
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from common import vault


@dataclass(frozen=True, kw_only=True)
class KeyringFile:
    """``path`` is where CHAPEK_KEYRING_FILE leads once links are followed."""

    path: Path

    @classmethod
    def at(cls, path: str) -> "KeyringFile":
        return cls(path=Path(path).resolve())

    def exists(self) -> bool:
        return self.path.exists()

    def age_s(self) -> float:
        """Seconds since the file last changed."""
        return time.time() - self.path.stat().st_mtime

    def read(self) -> dict[str, Any]:
        """The content as it is. Raises CommandError, without a word of it, when it is no usable keyring."""
        try:
            text = self.path.read_text()
            vault.Keyring.parse(text)
            content: dict[str, Any] = json.loads(text)
        except OSError as error:
            raise CommandError(f"the keyring {self.path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, vault.VaultError):
            raise CommandError(f"{self.path} is no keyring with a usable active key") from None
        return content

    def create(self) -> str:
        """The first keyring of an installation. Returns the name of its key."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = json.loads(vault.new_keyring_text())
        self._write(content)
        return str(content["active"])

    def stage(self) -> str:
        """Add a key that does not seal yet; the one staged already when there is one. Returns its name."""
        content = self.read()
        name = content.get("staged")
        if name not in content["keys"]:
            name = _add_key(content)
            content["staged"] = name
            self._write(content)
        return str(name)

    def activate(self) -> str:
        """Let the staged key, or else a new one, seal from now on. Returns its name."""
        content = self.read()
        staged = content.pop("staged", None)
        content["active"] = staged if staged in content["keys"] else _add_key(content)
        self._write(content)
        return str(content["active"])

    def remove(self, names: set[str]) -> None:
        """Forget keys; never the active or the staged one."""
        content = self.read()
        for name in names - {content["active"], content.get("staged")}:
            content["keys"].pop(name, None)
        self._write(content)

    def _write(self, content: dict[str, Any]) -> None:
        """Whole or not at all, for the owner alone; a file that was there keeps its owner."""
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                self._keep_owner(handle)
                json.dump(content, file)
                file.flush()
                os.fsync(handle)
            fresh.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise CommandError(f"the keyring {self.path} cannot be written: {error.strerror}") from None
        finally:
            fresh.unlink(missing_ok=True)

    def _keep_owner(self, handle: int) -> None:
        """Root, who rotates for the service's user, must not lock that user out."""
        if not self.path.exists():
            return
        was, now = self.path.stat(), os.fstat(handle)
        if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(handle, was.st_uid, was.st_gid)
        # A group that was let in (a container's secret, for example) stays in; others never.
        os.fchmod(handle, 0o600 | stat.S_IMODE(was.st_mode) & stat.S_IRGRP)


def _add_key(content: dict[str, Any]) -> str:
    """One more key under a name that no other has or had. Returns the name."""
    made = json.loads(vault.new_keyring_text())
    content["keys"] |= made["keys"]
    return str(made["active"])


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
