"""Where things may lie: short socket paths, folders an unprivileged user can reach, room on the disk, free ports."""

import hashlib
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from embedded.errors import EmbeddedError

SOCKET_PATH_LIMIT = 107
"""Bytes in a Unix socket's path on Linux, the closing zero apart."""

FREE_LIMIT_GIB = 2


def private_folder(path: Path, *, owner_uid: int | None = None, mode: int = 0o700) -> Path:
    """Make a folder that is ours alone, or prove that the one found there is.

    Raises EmbeddedError when the path is a link or belongs to somebody else (folders under /tmp have guessable names).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted_uid = os.geteuid() if owner_uid is None else owner_uid
    try:
        path.mkdir(mode=mode)
        if wanted_uid != os.geteuid():
            os.chown(path, wanted_uid, wanted_uid)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {wanted_uid, os.geteuid()}:
            raise EmbeddedError(f"{path} is there already and is not ours: move it away") from None
        if found.st_uid != wanted_uid:
            os.chown(path, wanted_uid, wanted_uid)
    path.chmod(mode)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def short_name(path: Path) -> str:
    """A name of twelve characters for a folder elsewhere that belongs to `path`."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def outer_folder(state_dir: Path) -> Path:
    """The folder outside of `state_dir`, same owner, for what cannot lie in it; made when absent."""
    return private_folder(Path("/var/tmp") / f"chapek-{short_name(state_dir)}", mode=0o755)  # noqa: S108 - ownership is checked


def socket_folder(state_dir: Path, *, name: str, socket_name: str) -> Path:
    """A path for a folder of sockets, short enough for the kernel; the folder itself is not made here."""
    inside = state_dir.resolve() / name
    if len(os.fsencode(inside / socket_name)) <= SOCKET_PATH_LIMIT:
        return inside
    outside = Path(tempfile.gettempdir()) / f"chapek-{short_name(state_dir)}-{name}"
    if len(os.fsencode(outside / socket_name)) <= SOCKET_PATH_LIMIT:
        return outside
    return Path("/tmp") / outside.name  # noqa: S108 - ownership is checked where the folder is made


def others_can_reach(path: Path) -> bool:
    """Whether a user without rights of its own can walk down to `path` (which need not exist yet)."""
    return all(not folder.exists() or folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def require_room(path: Path, *, gib: int = FREE_LIMIT_GIB) -> None:
    """Raise EmbeddedError when the disk below `path` has less than `gib` GiB free."""
    while not path.exists():
        path = path.parent
    free_gib = shutil.disk_usage(path).free / 2**30
    if free_gib < gib:
        raise EmbeddedError(f"disk full: {free_gib:.1f} GiB free under {path}, {gib} GiB needed")


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def port_taken(host: str, port: int) -> bool:
    """Whether somebody listens on the port already (or we may not use it)."""
    with socket.socket() as probe:
        # As servers do: a connection of ours in TIME_WAIT must not look like a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
