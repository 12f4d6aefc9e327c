"""Reading what a deploy script wrote: the image header on a drive, and the NoCloud seed on its FAT partition."""

import json
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

IMAGE_MAGIC = b"CHAPEK-IMAGE/1\n"
HEADER_BYTES = 4096
SEED_LABEL = b"CIDATA"
SEED_FILE_BYTES = 1024 * 1024
_ENTRY = 32
_FIRST_CLUSTER, _CHAIN_END = 2, 0xFFF8


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """The first 4096 bytes of a bootable image."""

    os: str
    default_user: str
    kernel: str = ""


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A NoCloud seed as cloud-init understands it. `users` maps a name to that user's own keys."""

    instance_id: str = ""
    hostname: str = ""
    default_keys: tuple[str, ...] = ()
    users: dict[str, tuple[str, ...]] = field(default_factory=dict)
    phone_home: dict[str, Any] | None = None


def open_plain(path: Path) -> int | None:
    """A read-only descriptor of a regular file, never through a link and never blocking; None when it is not one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def read_plain(path: Path, *, limit: int) -> bytes:
    """At most `limit` bytes of a regular file, b"" when there is none."""
    descriptor = open_plain(path)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(limit)


def read_header(disk: Path) -> ImageHeader | None:
    """The image on a drive, None when the drive does not boot."""
    head = read_plain(disk, limit=HEADER_BYTES)
    if not head.startswith(IMAGE_MAGIC):
        return None
    try:
        facts = json.loads(head[len(IMAGE_MAGIC) :].split(b"\n", 1)[0])
        user = str(facts["default_user"])
        if not user.isidentifier() or user == "root":
            return None
        return ImageHeader(os=str(facts["os"]), default_user=user, kernel=str(facts.get("kernel", "")))
    except (ValueError, KeyError, TypeError):
        return None


def read_seed(disk: Path) -> Seed:
    """The seed on the drive's cidata partition; an empty one when the drive carries none."""
    table = read_plain(disk.with_name(f"{disk.name}.gpt"), limit=65536).decode("ascii", "replace")
    for line in table.splitlines():
        number = line.split("\t")[0]
        if not number.isdigit():
            continue
        separator = "p" if disk.name[-1].isdigit() else ""
        files = read_fat_root(disk.with_name(f"{disk.name}{separator}{number}"), label=SEED_LABEL)
        if files:
            return parse_seed(files)
    return Seed()


def parse_seed(files: dict[str, bytes]) -> Seed:
    """meta-data, user-data and vendor-data as cloud-init takes them.

    Keys of the metadata are always added. A list in user-data replaces the vendor's list of the same name, unless the
    vendor's `merge_how` asks for appending (cloud-init's documented merging of vendor data).
    """
    meta = _yaml(files.get("meta-data", b""))
    user, vendor = _cloud_config(files.get("user-data", b"")), _cloud_config(files.get("vendor-data", b""))
    append = "list(append)" in str(vendor.get("merge_how", vendor.get("merge_type", "")))

    def merged(name: str) -> list[object]:
        own, fallback = user.get(name), vendor.get(name)
        if own is None:
            return _list(fallback)
        return _list(own) + (_list(fallback) if append else [])

    users: dict[str, tuple[str, ...]] = {}
    for entry in merged("users"):
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            users[entry["name"]] = users.get(entry["name"], ()) + tuple(_keys(entry.get("ssh_authorized_keys")))
    keys = _keys(meta.get("public-keys")) + _keys(merged("ssh_authorized_keys"))
    phone_home = user.get("phone_home", vendor.get("phone_home"))
    return Seed(
        instance_id=str(meta.get("instance-id", "")),
        hostname=str(meta.get("local-hostname", "")),
        default_keys=tuple(dict.fromkeys(keys)),
        users=users,
        phone_home=phone_home if isinstance(phone_home, dict) else None,
    )


def read_fat_root(path: Path, *, label: bytes) -> dict[str, bytes]:
    """Files in the root directory of a FAT16 volume with this label; empty when it is none."""
    descriptor = open_plain(path)
    if descriptor is None:
        return {}
    with os.fdopen(descriptor, "rb") as stream:
        boot = stream.read(512)
        if len(boot) < 512 or boot[54:59] != b"FAT16" or boot[43:54].rstrip() != label:
            return {}
        sector, per_cluster, reserved, fats, entries, _, _, fat_sectors = struct.unpack_from("<HBHBHHBH", boot, 11)
        stream.seek(reserved * sector)
        fat = stream.read(fat_sectors * sector)
        stream.seek((reserved + fats * fat_sectors) * sector)
        root = stream.read(entries * _ENTRY)
        data_at = (reserved + fats * fat_sectors) * sector + entries * _ENTRY
        files: dict[str, bytes] = {}
        for name, first, size in _directory(root):
            content, cluster = bytearray(), first
            # A chain is no longer than the table, whatever a broken one says.
            for _ in range(len(fat) // 2):
                if not _FIRST_CLUSTER <= cluster < _CHAIN_END or len(content) >= min(size, SEED_FILE_BYTES):
                    break
                stream.seek(data_at + (cluster - _FIRST_CLUSTER) * per_cluster * sector)
                content += stream.read(per_cluster * sector)
                cluster = int.from_bytes(fat[cluster * 2 : cluster * 2 + 2], "little")
            files[name] = bytes(content[:size])
        return files


def _directory(root: bytes) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    long = ""
    for at in range(0, len(root), _ENTRY):
        entry = root[at : at + _ENTRY]
        if entry[0] == 0:
            break
        if entry[0] == 0xE5 or (entry[11] & 0x08 and entry[11] != 0x0F):
            long = ""
            continue
        if entry[11] == 0x0F:
            units = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
            part = units.split("\0")[0].rstrip("\uffff")
            long = part if entry[0] & 0x40 else part + long
            continue
        short = entry[:8].decode("ascii", "replace").rstrip()
        extension = entry[8:11].decode("ascii", "replace").rstrip()
        name = long or (f"{short}.{extension}" if extension else short).lower()
        cluster, size = struct.unpack_from("<HI", entry, 26)
        found.append((name, cluster, size))
        long = ""
    return found


def _cloud_config(raw: bytes) -> dict[str, Any]:
    return _yaml(raw) if raw.lstrip().startswith(b"#cloud-config") else {}


def _yaml(raw: bytes) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(raw.decode("utf-8", "replace"))
    except yaml.YAMLError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    if isinstance(value, str):
        value = value.splitlines()
    elif isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return []
    lines = (" ".join(str(item).split()) for item in value if isinstance(item, str))
    return [line for line in lines if line and not line.startswith("#")]
