"""The commands a node knows: our shims, and links to the host's harmless tools; the whole PATH of a node."""

import os
import shutil
from pathlib import Path

from lab.sandbox import HOST_TOOLS, PERL

_SOURCE = Path(__file__).parent / "bin"
# For whoever reads and checks the shims (a test compiles them); left out where they run: loading them is a third of a
# shim's time.
_PRAGMAS = "use strict;\nuse warnings;\nno warnings 'once';\n"
# Several names of one shim.
_ALIASES = {
    "reboot": ("poweroff", "halt", "shutdown", "init", "telinit", "systemctl"),
    "noop": (
        *("partprobe", "partx", "udevadm", "modprobe", "swapoff", "swapon", "mdadm", "logger", "sysctl", "losetup"),
        *("cloud-init", "kpartx", "dmsetup", "ldconfig", "umount"),
    ),
    "mount": (
        "mkfs.ext4",
        "mkfs.ext3",
        "mkfs.xfs",
        "mkfs.btrfs",
        "mkfs",
        "mke2fs",
        "mkswap",
        "fdisk",
        "sfdisk",
        "parted",
    ),
    "mkfs.vfat": ("mkfs.fat", "mkdosfs"),
    "id": ("whoami",),
}


def install(*, target: Path, tools: dict[str, str]) -> None:
    """Write the shim folder afresh. `tools` maps a name to the host's real program; perl itself is not on the PATH.

    The folder is a copy because the source may lie under a home that the nodes' user cannot enter.
    """
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o755)
    for name in ("sh", *HOST_TOOLS):
        if name in tools and not (_SOURCE / name).exists():
            (fresh / name).symlink_to(_entry(name, tools))
    for source in _SOURCE.iterdir():
        text = source.read_text(encoding="utf-8")
        text = text.replace(_PRAGMAS, "").replace("#!/usr/bin/perl", f"#!{PERL}")
        text = text.replace("@dd@", tools.get("dd", "/bin/dd"))
        destination = fresh / source.name
        destination.write_text(text, encoding="utf-8")
        destination.chmod(0o644 if source.name.startswith(".") else 0o755)
    for name, aliases in _ALIASES.items():
        for alias in aliases:
            (fresh / alias).symlink_to(name)
    fresh.chmod(0o755)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(fresh, target)  # noqa: PTH104 - a directory, renamed in one step


def _entry(name: str, tools: dict[str, str]) -> str:
    # Multi-call programs look at the name they were called by, so link to the host's entry of that name.
    for folder in ("/usr/bin", "/bin"):
        if Path(folder, name).exists():
            return f"{folder}/{name}"
    return tools[name]
