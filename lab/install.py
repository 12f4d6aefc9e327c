"""The files an operating system writes to its own disk at first boot: host key, accounts, authorised keys."""

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path

import asyncssh

from lab.seed import ImageHeader, Seed, read_plain

KEY_BYTES = 16 * 1024


def public_key(*, key: asyncssh.SSHKey) -> str:
    """`ssh-ed25519 AAAA...` without a comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


def stored_key(*, installed: Path) -> asyncssh.SSHKey | None:
    raw = read_plain(installed / "etc" / "ssh" / "ssh_host_ed25519_key", limit=KEY_BYTES)
    with contextlib.suppress(ValueError):
        if raw:
            return asyncssh.import_private_key(raw)
    return None


def install_script(
    *, drive: str, header: ImageHeader, seed: Seed, homes: Mapping[str, Path], key: asyncssh.SSHKey, first_boot: bool
) -> str:
    """Shell that writes the system's own files to its disk: host key, accounts, authorised keys, instance id."""
    private = key.export_private_key().decode()
    root = f"disks/{drive}.d"
    lines = [
        f"mkdir -p {root}/etc/ssh {root}/var {root}/home",
        "umask 077",
        f"printf %s {shlex.quote(private)} >{root}/etc/ssh/ssh_host_ed25519_key",
    ]
    for user in homes:
        keys = list(seed.users.get(user, ()))
        if user == header.default_user:
            keys = [*seed.default_keys, *keys]
        home = f"{root}/home/{user}"
        lines += [f"mkdir -p {home}/.ssh", f"touch {home}/.ssh/authorized_keys"]
        if first_boot:
            # cloud-init adds what is missing and leaves what is there.
            for line in dict.fromkeys(keys):
                quoted = shlex.quote(line)
                file = f"{home}/.ssh/authorized_keys"
                lines.append(f"grep -qxF -e {quoted} {file} || printf '%s\\n' {quoted} >>{file}")
    if first_boot:
        lines.append(f"printf '%s\\n' {shlex.quote(seed.instance_id)} >{root}/var/instance-id")
    return "\n".join(lines) + "\n"
