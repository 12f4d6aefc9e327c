"""Which process is which: a name that says whether its bearer is dead, to those who can know it for certain."""

import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=4)
def _place() -> str:
    """The boot of this machine and the process namespace in it: only here do process numbers mean anything."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    return f"{boot[:13]}.{namespace}"


def _started(pid: int) -> str:
    """When that process started, in clock ticks since boot; empty when there is none (or only its remains)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat[stat.rindex(")") + 2 :].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def me() -> str:
    """At most 60 characters: place, process number and start."""
    pid = os.getpid()
    try:
        return f"{_place()}:{pid}:{_started(pid)}"
    except OSError:  # without /proc nobody can tell; leases run out by themselves
        return f"unknown:{pid}:"


def is_dead(name: str) -> bool:
    """True only when the process of that name was one of this place and is no more."""
    place, _, rest = name.partition(":")
    pid, _, started = rest.partition(":")
    try:
        if place != _place() or not pid.isdigit() or not started:
            return False
    except OSError:
        return False
    return _started(int(pid)) != started
