"""Where a node's commands may act: another user, no new rights, a Landlock fence around the node's directory.

Started as root, the lab gives every node command to an unprivileged uid. Started by an ordinary user, they keep that
user; then the fence (Linux Landlock, kernel 5.13 or later, needs no privilege) is what keeps them in their directory.
The fence is put on a thread of the lab, never on the lab: its children inherit it.
"""

import ctypes
import os
import platform
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNPRIVILEGED_ID = 64999
SH = "/bin/sh"
PERL = "/usr/bin/perl"

# Harmless tools taken from the host as they are. Everything else a node can call is one of our shims.
HOST_TOOLS = (
    *("awk", "base64", "basename", "cat", "chmod", "cmp", "comm", "cp", "cut", "date", "dirname", "env"),
    *("expr", "false", "find", "fold", "grep", "egrep", "fgrep", "gzip", "gunzip", "head", "id", "join", "ln"),
    *("ls", "mawk", "md5sum", "mkdir", "mkfifo", "mktemp", "mv", "nl", "od", "paste", "printf", "pwd"),
    *("readlink", "realpath", "rm", "rmdir", "sed", "seq", "sha256sum", "sha512sum", "sleep", "sort", "split"),
    *("stat", "stty", "sync", "tac", "tail", "tee", "test", "timeout", "touch", "tr", "true", "truncate"),
    *("tty", "uniq", "wc", "xargs", "zcat", "zstd"),
)
WRAPPED_TOOLS = ("dd",)  # reached through a shim of the same name

_READ_TREES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/perl", "/usr/share/perl5", "/etc/perl")
_READ_FILES = ("/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts")

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_SCOPE_ABI = 6
_SCOPE_SIGNALS_AND_SOCKETS = 3

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The lab cannot run node commands safely here; the message says what to change."""


def landlock_abi() -> int:
    """Version of the kernel's Landlock interface, 0 when it has none (or a container forbids it)."""
    if platform.system() != "Linux":
        return 0
    version = int(_libc.syscall(_CREATE_RULESET, None, 0, 1))
    return max(version, 0)


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Rights of the commands of all nodes. `uid` and `gid` are None when the lab has no rights to give away."""

    shims: Path
    uid: int | None
    gid: int | None
    abi: int
    tools: dict[str, str] = field(default_factory=dict)

    @property
    def fenced(self) -> bool:
        return self.abi > 0

    @property
    def drop(self) -> tuple[str, ...]:
        """What goes before a command to run it as `uid` and `gid` and in no other group; nothing for an ordinary user.

        A program rather than an option of Popen: with one, Python forks, and copying the lab's page tables costs more
        than most commands; without, it calls vfork.
        """
        if self.uid is None or self.gid is None:
            return ()
        return (self.tools["setpriv"], f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--")

    def confine_thread(self, *, node_dir: Path) -> None:
        """Fence the calling thread for good: write in `node_dir` alone, execute shims and known tools alone.

        The thread must do nothing but start one command and end. Raises OSError when the kernel refuses.
        """
        _call(_libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if not self.abi:
            return
        handled = _RIGHTS_BY_ABI.get(self.abi, _RIGHTS_BY_ABI[3])
        scope = _SCOPE_SIGNALS_AND_SOCKETS if self.abi >= _SCOPE_ABI else 0
        attributes = struct.pack("=QQQ", handled, 0, scope)
        size = 24 if self.abi >= _SCOPE_ABI else 8
        ruleset = _call(_libc.syscall, _CREATE_RULESET, ctypes.create_string_buffer(attributes), size, 0)
        try:
            self._add_rules(ruleset, handled, node_dir)
            _call(_libc.syscall, _RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)

    def _add_rules(self, ruleset: int, handled: int, node_dir: Path) -> None:
        readable = _READ_FILE | _READ_DIR
        _allow(ruleset, str(node_dir), handled & ~_EXECUTE)
        _allow(ruleset, str(self.shims), readable | _EXECUTE)
        for tree in _READ_TREES:
            _allow(ruleset, tree, readable)
        _allow(ruleset, "/proc", _READ_DIR)  # the child lists its open files there to close them
        for file in _READ_FILES:
            _allow(ruleset, file, _READ_FILE)
        for device in _DEVICES:
            _allow(ruleset, device, (readable | _WRITE_FILE | _TRUNCATE) & handled)
        for program in {*self.tools.values(), os.path.realpath(SH), *_loaders()}:
            _allow(ruleset, program, _EXECUTE | _READ_FILE)


def prepare(*, shims: Path) -> Sandbox:
    """Look at this machine and say what node commands may do.

    Raises SandboxError when it lacks /bin/sh or perl, or, for a lab started as root, setpriv.
    """
    if not os.access(SH, os.X_OK) or not os.access(PERL, os.X_OK):
        raise SandboxError(f"{SH} and {PERL} are needed to run node commands (both are in every Debian and Ubuntu)")
    tools = {"perl": os.path.realpath(PERL), "sh": os.path.realpath(SH)}
    for name in (*HOST_TOOLS, *WRAPPED_TOOLS):
        found = shutil.which(name, path="/usr/bin:/bin")
        if found:
            tools[name] = os.path.realpath(found)
    root = os.geteuid() == 0
    if root:
        if (setpriv := shutil.which("setpriv", path="/usr/bin:/bin")) is None:
            raise SandboxError("setpriv is needed to run node commands as another user than root (package util-linux)")
        tools["setpriv"] = os.path.realpath(setpriv)
    identity = UNPRIVILEGED_ID if root else None
    return Sandbox(shims=shims, uid=identity, gid=identity, abi=landlock_abi(), tools=tools)


def unreachable_parent(*, path: Path, uid: int) -> Path | None:
    """The first directory on the way to `path` that `uid` may not enter, None when all are open to it."""
    for directory in reversed((path, *path.parents)):
        if not directory.exists():
            return None
        status = directory.stat()
        bit = 0o100 if status.st_uid == uid else 0o001
        if not status.st_mode & bit:
            return directory
    return None


def _loaders() -> list[str]:
    """The ELF interpreters the kernel itself executes to start a dynamic program."""
    names = (
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/ld-linux.so.2",
        "/lib/ld-linux-armhf.so.3",
    )
    return [os.path.realpath(name) for name in names if Path(name).exists()]


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a path this host does not have needs no rule
    try:
        if not Path(path).is_dir():
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        _call(_libc.syscall, _ADD_RULE, ruleset, 1, ctypes.create_string_buffer(rule), 0)
    finally:
        os.close(descriptor)


def _call(function: Callable[..., Any], *arguments: Any) -> int:
    # Whole registers: the kernel reads 64 bits where ctypes would pass an int's 32.
    result = int(function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
