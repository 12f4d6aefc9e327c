"""Directories of a lab: what belongs to the lab alone, and what the nodes' commands may reach."""

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from lab import shims
from lab.rack import Node
from lab.sandbox import Sandbox, SandboxError, prepare, unreachable_parent

FALLBACK = Path("/var/tmp")  # noqa: S108 - our own directory there is made safely, see _own_directory
PLACE_NAME = "place.json"  # where the nodes' directories are, for whoever cleans up
NODE_OWNED = ("disks", "root", "tmp")
LAB_OWNED = ("hw", "run")
_BUS = ("18", "2A", "3A", "5D", "9A", "AB", "BA", "DB")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`state` holds secrets, logs and memory of the BMCs; `run` holds the nodes' own directories and the shims."""

    state: Path
    run: Path
    sandbox: Sandbox

    @property
    def bmc(self) -> Path:
        return self.state / "bmc"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    def node_dir(self, name: str) -> Path:
        return self.run / "nodes" / name


def open_place(*, state: Path) -> Place:
    """Make the directories. Raises SandboxError when node commands could not be confined, OSError when disk says no.

    Node commands of a lab started as root run as another user; when that user cannot enter `state` (a checkout under
    /root, say), the nodes' directories go below /var/tmp instead, under a name derived from the state directory.
    """
    state = state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    for private in (state / "bmc", state / "log"):
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    run = state / "run"
    sandbox = prepare(shims=run / "shims")
    if sandbox.uid is not None and unreachable_parent(path=state, uid=sandbox.uid) is not None:
        digest = hashlib.sha256(str(state).encode()).hexdigest()[:12]
        run = FALLBACK / f"chapek-lab-{digest}"
        sandbox = prepare(shims=run / "shims")
        blocked = unreachable_parent(path=FALLBACK, uid=sandbox.uid or 0)
        if blocked is not None:
            raise SandboxError(f"{blocked} is closed to uid {sandbox.uid}, which runs the nodes' commands")
    _own_directory(run)
    _own_directory(run / "nodes")
    (state / PLACE_NAME).write_text(json.dumps({"run": str(run)}) + "\n", encoding="utf-8")
    shims.install(target=run / "shims", tools=sandbox.tools)
    return Place(state=state, run=run, sandbox=sandbox)


def open_node(*, place: Place, node: Node) -> Path:
    """The directory of one node with its sparse drives and the facts its shims read. Kept over restarts."""
    directory = place.node_dir(node.name)
    _own_directory(directory)
    for name in LAB_OWNED:
        _own_directory(directory / name)
    for name in NODE_OWNED:
        path = directory / name
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o755)
        if place.sandbox.uid is not None and path.stat().st_uid != place.sandbox.uid:
            os.chown(path, place.sandbox.uid, place.sandbox.gid or 0, follow_symlinks=False)
    for drive in node.drives:
        path = directory / "disks" / drive.name
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(descriptor, drive.size_bytes)
                if place.sandbox.uid is not None:
                    os.fchown(descriptor, place.sandbox.uid, place.sandbox.gid or 0)
            finally:
                os.close(descriptor)
    _write_facts(directory / "hw", node)
    return directory


def _write_facts(directory: Path, node: Node) -> None:
    facts = {
        "NAME": node.name,
        "SERIAL": node.serial,
        "UUID": str(node.uuid),
        "MAC": node.mac,
        "PRODUCT": f"HGX-8{node.gpu_model}",
        "CPU_CORES": node.cpu_cores,
        "MEMORY_GIB": node.memory_gib,
        "GPU_MODEL": node.gpu_model,
        "GPU_COUNT": node.gpu_count,
        "GPU_MEMORY_MIB": node.gpu_memory_mib,
        "SSH_ADDRESS": node.ssh.address,
    }
    gpus = zip(node.gpu_uuids, node.gpu_serials, strict=True)
    texts = {
        "facts": "".join(f"{key}={value}\n" for key, value in facts.items()),
        "drives": "".join(
            f"{d.name}\t{d.serial}\t{d.model}\t{d.size_bytes}\t{'nvme' if d.nvme else 'sata'}\n" for d in node.drives
        ),
        "gpus": "".join(
            f"{index}\t{uuid}\t{serial}\t0000{index // len(_BUS):04X}:{_BUS[index % len(_BUS)]}:00.0\n"
            for index, (uuid, serial) in enumerate(gpus)
        ),
    }
    for name, text in texts.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)


def _own_directory(path: Path) -> None:
    """A directory of ours that others may enter and not change. Raises SandboxError when somebody else made it."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o755)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise SandboxError(f"{path} is not a directory of this user; remove it or choose another --state")
    path.chmod(0o755)
