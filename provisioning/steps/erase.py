"""Erasing every drive by the best way it offers, and reading back that it happened."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from provisioning.errors import EraseFailed, ScriptFailed
from provisioning.models import EraseRecord
from provisioning.ssh import Output
from provisioning.steps.base import Done, StepContext, StepResult, Wait
from provisioning.steps.inspect import read_drives

Method = EraseRecord.Method
BLOCK = 4096
RANDOM_SAMPLES = 6
SLICE_S = 20
ROUND_TIMEOUT_S = 4 * 3600  # an ATA secure erase answers only when it has finished
STANDARDS = {
    Method.SANITIZE_BLOCK: "NIST SP 800-88r2 purge / IEEE 2883 purge",
    Method.SANITIZE_CRYPTO: "NIST SP 800-88r2 purge / IEEE 2883 purge",
    Method.FORMAT_CRYPTO: "NIST SP 800-88r2 purge / IEEE 2883 purge",
    Method.FORMAT_USER_DATA: "NIST SP 800-88r2 clear / IEEE 2883 clear",
    Method.ATA_SECURE_ERASE: "NIST SP 800-88r2 purge / IEEE 2883 purge",
    Method.OVERWRITE: "NIST SP 800-88r2 clear / IEEE 2883 clear",
}
# Identify Controller (NVMe base specification): OACS bit 1 format, FNA bit 2 crypto erase, SANICAP bits 0 and 1.
_OACS_FORMAT, _FNA_CRYPTO, _SANICAP_CRYPTO, _SANICAP_BLOCK = 0x2, 0x4, 0x1, 0x2
_SANITIZE_DONE, _SANITIZE_RUNNING = (1, 4), 2


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One drive as this cleaning found it, and how it is erased. ``offsets`` are in blocks of 4096 bytes."""

    serial: str
    path: str
    model: str
    size_bytes: int
    method: str
    capability: dict[str, int]
    offsets: tuple[int, ...]

    @property
    def line(self) -> str:
        return f"{self.path} {self.serial} {self.method} {self.size_bytes} {','.join(map(str, self.offsets))}"


def erase(ctx: StepContext) -> StepResult:
    """One round: begin what has not begun and look at the rest. Long erasures run on in the drives between rounds."""
    drives = known_drives(ctx) or _find_drives(ctx)
    output = ctx.rescue().run(
        "erase", parameters={**_parameters(ctx, drives), "SLICE_S": SLICE_S}, timeout_s=ROUND_TIMEOUT_S
    )
    states = read_round(output, drives)
    failed = sorted(serial for serial, state in states.items() if state["state"] not in {"done", "running"})
    if failed:
        raise EraseFailed(
            f"erasing failed on {', '.join(failed)}: {', '.join(states[serial]['state'] for serial in failed)}",
            drives=failed,
        )
    running = [serial for serial, state in states.items() if state["state"] == "running"]
    if running:
        by_parts = any(drive.method == Method.OVERWRITE for drive in drives if drive.serial in running)
        pause_s = 0.0 if by_parts else min(30.0, max(1.0, ctx.since_step_began_s() / 10))
        return Wait(seconds=pause_s, detail={"drives": [asdict(drive) for drive in drives], "running": running})
    detail = {
        "drives": [asdict(drive) for drive in drives],
        "times": {s: [v["began"], v["now"]] for s, v in states.items()},
    }
    return Done(detail=detail)


def verify_erased(ctx: StepContext) -> StepResult:
    """The markers planted before the erase must be gone; only then does a drive get its record."""
    erased = ctx.job.steps.get(name="erase")
    drives = drives_of(erased.detail)
    output = ctx.rescue().run("verify_erased", parameters=_parameters(ctx, drives), timeout_s=300)
    checked = read_verification(output.text, drives)
    times: dict[str, list[int]] = erased.detail["times"]

    def apply() -> None:
        for drive in drives:
            began, ended = (datetime.fromtimestamp(second, UTC) for second in times[drive.serial])
            EraseRecord.objects.update_or_create(
                job=ctx.job,
                drive_serial=drive.serial,
                defaults={
                    "node": ctx.node,
                    "reservation_ref": ctx.job.reservation_ref,
                    "drive_model": drive.model[:80],
                    "size_bytes": drive.size_bytes,
                    "method": drive.method,
                    "standard": STANDARDS[Method(drive.method)],
                    "capability": drive.capability,
                    "samples_checked": checked[drive.serial],
                    "markers_planted": len(drive.offsets),
                    "started_at": began,
                    "finished_at": ended,
                    "duration_s": max(0, int((ended - began).total_seconds())),
                    "done_by": ctx.job.requested_by or "system:provisioning",
                },
            )

    return Done(detail={"samples": sum(checked.values()), "drives": len(drives)}, apply=apply)


def _find_drives(ctx: StepContext) -> list[Drive]:
    sections = ctx.rescue().run("drives", timeout_s=120).sections()
    drives = choose_methods(sections, seed=ctx.job.ref)
    if not drives:
        raise EraseFailed("no drive is seen; a node without drives cannot be shown to be clean")
    enrolled = {drive["serial"] for drive in ctx.node.hardware_bill.get("drives", [])}
    missing = sorted(enrolled - {drive.serial for drive in drives})
    if missing:
        # A drive that is not seen still holds the last tenant's data, wherever it went.
        raise EraseFailed(f"drives that were enrolled are not seen: {', '.join(missing)}", drives=missing)
    ctx.note(drives=[asdict(drive) for drive in drives])
    return drives


def known_drives(ctx: StepContext) -> list[Drive]:
    """What an earlier round of this step has found; methods must not change under way."""
    return drives_of(ctx.step.detail)


def drives_of(detail: dict[str, Any]) -> list[Drive]:
    return [Drive(**{**item, "offsets": tuple(item["offsets"])}) for item in detail.get("drives", [])]


def choose_methods(sections: dict[str, str], *, seed: str) -> list[Drive]:
    """Per drive the strongest method that it says it can do. Raises ScriptFailed when the facts cannot be read."""
    try:
        found = read_drives(sections["drives"])
        drives = []
        for item in found:
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", item["serial"]):
                raise EraseFailed(f"drive {item['name']} tells no usable serial number", drive=item["name"])
            method, capability = _method_of(item, sections)
            drives.append(
                Drive(
                    serial=item["serial"],
                    path=item["path"],
                    model=item["model"],
                    size_bytes=item["size_bytes"],
                    method=method,
                    capability=capability,
                    offsets=sample_offsets(seed=f"{seed}/{item['serial']}", size_bytes=item["size_bytes"]),
                )
            )
    except (KeyError, ValueError, TypeError) as error:
        raise ScriptFailed(f"the node's drives cannot be read: {type(error).__name__} {error}") from error
    return drives


def _method_of(item: dict[str, Any], sections: dict[str, str]) -> tuple[str, dict[str, int]]:
    identify = sections.get(f"nvme {item['path']}")
    if identify is not None:
        facts = json.loads(identify)
        capability = {name: int(facts.get(name, 0)) for name in ("oacs", "fna", "sanicap")}
        if capability["sanicap"] & _SANICAP_BLOCK:
            return Method.SANITIZE_BLOCK, capability
        if capability["sanicap"] & _SANICAP_CRYPTO:
            return Method.SANITIZE_CRYPTO, capability
        if capability["oacs"] & _OACS_FORMAT:
            crypto = bool(capability["fna"] & _FNA_CRYPTO)
            return (Method.FORMAT_CRYPTO if crypto else Method.FORMAT_USER_DATA), capability
        return Method.OVERWRITE, capability
    ata = sections.get(f"ata {item['path']}", "")
    words = " ".join(ata.split())
    erasable = bool(re.search(r"(?<!not )\bsupported", words)) and "not frozen" in words and "not locked" in words
    return (Method.ATA_SECURE_ERASE if erasable else Method.OVERWRITE), {"security_erase": int(erasable)}


def sample_offsets(*, seed: str, size_bytes: int) -> tuple[int, ...]:
    """First block, last block and RANDOM_SAMPLES more, the same each time for one job and drive."""
    blocks = size_bytes // BLOCK
    picked = [
        int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:8]) % blocks
        for number in range(RANDOM_SAMPLES)
    ]
    return tuple(sorted({0, blocks - 1, *picked}))


def read_round(output: Output, drives: Iterable[Drive]) -> dict[str, dict[str, Any]]:
    """Per serial: state (done, running, failed, unplanted, unseen), began and now as seconds of the node's clock."""
    sections = output.sections()
    states: dict[str, dict[str, Any]] = {drive.serial: {"state": "unseen", "began": 0, "now": 0} for drive in drives}
    for line in sections.get("drives", "").splitlines():
        words = line.split()
        if len(words) == 4 and words[0] in states:
            state = words[1] if words[1] != "asked" else sanitize_state(sections.get(f"sanitize {words[0]}", ""))
            states[words[0]] = {"state": state, "began": int(words[2]), "now": int(words[3])}
    return states


def sanitize_state(text: str) -> str:
    """done, running or failed, from ``nvme sanitize-log -o json``; sstat is an object or (nvme-cli 1) a number."""
    try:
        log = next(iter(json.loads(text).values()))
        sstat = log["sstat"]
        if isinstance(sstat, dict):
            found = re.search(r"\((\d)\)", str(sstat.get("status", "")))
            status = int(found[1]) if found else int(sstat.get("status", 0))
        else:
            status = int(sstat) & 0x7
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError):
        return "failed"
    if status in _SANITIZE_DONE:
        return "done"
    return "running" if status == _SANITIZE_RUNNING else "failed"


def read_verification(text: str, drives: Iterable[Drive]) -> dict[str, int]:
    """Samples read per serial. Raises EraseFailed when a marker has survived or a sample could not be read."""
    seen = {words[0]: (int(words[1]), int(words[2])) for words in map(str.split, text.splitlines()) if len(words) == 3}
    checked: dict[str, int] = {}
    for drive in drives:
        samples, survived = seen.get(drive.serial, (0, 0))
        if survived:
            raise EraseFailed(
                f"drive {drive.serial} still shows {survived} markers after {drive.method}", drive=drive.serial
            )
        if samples < len(drive.offsets):
            raise EraseFailed(
                f"drive {drive.serial}: {samples} of {len(drive.offsets)} samples could be read", drive=drive.serial
            )
        checked[drive.serial] = samples
    return checked


def _parameters(ctx: StepContext, drives: Iterable[Drive]) -> dict[str, str | int]:
    return {
        "JOB": ctx.job.ref,
        "MARK": "CHAPEK-MARK-" + hashlib.sha256(ctx.job.ref.encode()).hexdigest(),
        "DRIVES": "\n".join(drive.line for drive in drives),
    }
