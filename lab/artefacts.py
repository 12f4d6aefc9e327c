"""Stand-ins for the rescue system's kernel and initrd and for iPXE, in the outer shape of the real ones.

The emulated node fetches them in full and checks the kernel's magic as a boot loader does; no processor runs them.
"""

import argparse
import gzip
import struct
import sys
from pathlib import Path

from lab.boot import EFI_MAGIC, KERNEL_MAGIC, KERNEL_MAGIC_AT

KERNEL_BYTES = 256 * 1024
LOADER_BYTES = 64 * 1024
INITRD_FILE = b"etc/chapek-rescue"


def kernel() -> bytes:
    """An x86 Linux boot header (boot sector mark, `HdrS`, protocol 2.15), then nothing."""
    image = bytearray(KERNEL_BYTES)
    image[0x1F1] = 4  # setup sectors
    image[0x1FE:0x200] = b"\x55\xaa"
    image[KERNEL_MAGIC_AT : KERNEL_MAGIC_AT + 4] = KERNEL_MAGIC
    struct.pack_into("<H", image, 0x206, 0x020F)
    return bytes(image)


def initrd() -> bytes:
    """A gzip-compressed newc cpio archive with one file."""
    archive = _member(INITRD_FILE, b"chapek rescue, emulated\n", 1) + _member(b"TRAILER!!!", b"", 0)
    return gzip.compress(archive.ljust(-(-len(archive) // 512) * 512, b"\0"), mtime=0)


def loader() -> bytes:
    """The outer shape of an EFI program: DOS header, PE signature, machine x86-64. Stands in for iPXE."""
    image = bytearray(LOADER_BYTES)
    image[0:2] = EFI_MAGIC
    struct.pack_into("<I", image, 0x3C, 0x80)
    image[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<H", image, 0x84, 0x8664)
    return bytes(image)


def build(*, directory: Path) -> tuple[Path, ...]:
    """Write `vmlinuz`, `initrd.img` and `ipxe.efi`; their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / "vmlinuz", directory / "initrd.img", directory / "ipxe.efi"
    for path, content in zip(paths, (kernel(), initrd(), loader()), strict=True):
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    return paths


def _member(name: bytes, content: bytes, inode: int) -> bytes:
    fields = (inode, 0o100644 if content else 0, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.artefacts", description="Write the emulated rescue system.")
    parser.add_argument("--out", type=Path, required=True)
    for path in build(directory=parser.parse_args(argv).out):
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
