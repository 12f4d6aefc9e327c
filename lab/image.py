"""Small bootable images for the demonstration: raw disks with the header the lab's firmware looks for, gzip-compressed.

The bytes are the same on every machine and in every run, so the checksums can be registered once.
"""

import argparse
import gzip
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.seed import HEADER_BYTES, IMAGE_MAGIC

IMAGE_BYTES = 2 * 1024 * 1024
NOISE_BYTES = 128 * 1024


@dataclass(frozen=True, kw_only=True)
class DemoImage:
    os: str
    version: str
    default_user: str
    kernel: str

    @property
    def file(self) -> str:
        return f"{self.os}.raw.gz"


IMAGES = (
    DemoImage(os="debian-12", version="12.11", default_user="debian", kernel="6.1.0-37-amd64"),
    DemoImage(os="ubuntu-24.04", version="24.04.2", default_user="ubuntu", kernel="6.8.0-62-generic"),
)


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One line of index.json; `sha256` and `size_bytes` are of the compressed file, `raw_bytes` of the disk."""

    file: str
    sha256: str
    size_bytes: int
    raw_bytes: int
    compression: str
    os: str
    default_user: str
    version: str


def raw_image(*, image: DemoImage) -> bytes:
    """The disk: header, some bytes that do not compress, and filler."""
    facts = {"os": image.os, "default_user": image.default_user, "kernel": image.kernel}
    head = IMAGE_MAGIC + json.dumps(facts).encode() + b"\n"
    noise = b"".join(
        hashlib.sha256(f"{image.os}:{block}".encode()).digest()
        for block in range(NOISE_BYTES // hashlib.sha256().digest_size)
    )
    filler = f"{image.os} {image.version}\n".encode()
    rest = IMAGE_BYTES - HEADER_BYTES - len(noise)
    return head.ljust(HEADER_BYTES, b"\0") + noise + (filler * (rest // len(filler) + 1))[:rest]


def build(*, directory: Path) -> list[ImageEntry]:
    """Write all images and index.json into `directory`; files that are there already and right stay untouched."""
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for image in IMAGES:
        raw = raw_image(image=image)
        packed = gzip.compress(raw, compresslevel=6, mtime=0)
        path = directory / image.file
        if not path.exists() or path.read_bytes() != packed:
            path.write_bytes(packed)
        entries.append(
            ImageEntry(
                file=image.file,
                sha256=hashlib.sha256(packed).hexdigest(),
                size_bytes=len(packed),
                raw_bytes=len(raw),
                compression="gzip",
                os=image.os,
                default_user=image.default_user,
                version=image.version,
            )
        )
    (directory / "index.json").write_text(json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")
    return entries


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.image", description="Build the demonstration images.")
    parser.add_argument("--out", type=Path, required=True)
    for entry in build(directory=parser.parse_args(argv).out):
        sys.stdout.write(f"{entry.file} {entry.size_bytes} bytes sha256 {entry.sha256}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
