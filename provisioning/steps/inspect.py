"""Intake: is the BMC the right one, and is the machine what was enrolled?"""

import csv
import json
from typing import Any

from django.db.models.functions import Now

from inventory.models import BmcEndpoint, Node
from provisioning.drivers.errors import BmcSecurityMismatch
from provisioning.errors import HardwareMismatch, ScriptFailed
from provisioning.models import HealthFinding
from provisioning.steps.base import Done, StepContext, StepResult

_GIB = 1024**3
_MEMORY_TOLERANCE = 0.1  # firmware and kernel keep some for themselves
_GPU_MEMORY_TOLERANCE = 0.1


def verify_bmc(ctx: StepContext) -> StepResult:
    """The BMC answers, takes its credentials and belongs to this machine. Its certificate gets pinned."""
    with ctx.bmc() as bmc:
        identity = bmc.identity()
        power = bmc.power_state()
    enrolled = ctx.node.serial
    if identity.serial and identity.serial != enrolled:
        raise HardwareMismatch(
            f"the BMC belongs to machine {identity.serial}, enrolled is {enrolled}",
            seen=identity.serial,
            enrolled=enrolled,
        )
    seen, pinned = identity.certificate_sha256, ctx.node.bmc.certificate_sha256
    if pinned and seen and seen != pinned:
        raise BmcSecurityMismatch("the BMC shows another certificate than the one pinned", certificate_changed=True)

    def apply() -> None:
        if seen and not pinned:
            BmcEndpoint.objects.filter(node=ctx.node, certificate_sha256="").update(certificate_sha256=seen)
        bmc_findings = HealthFinding.objects.filter(node=ctx.node, kind=HealthFinding.Kind.BMC, resolved_at=None)
        bmc_findings.update(resolved_at=Now())

    detail = {
        "manufacturer": identity.manufacturer,
        "model": identity.model,
        "bmc_firmware": identity.firmware,
        "certificate_sha256": seen,
        "power": str(power),
    }
    return Done(detail=detail, apply=apply)


def inspect(ctx: StepContext) -> StepResult:
    """Every difference to the enrolled facts is named at once, so that it takes one visit to put right."""
    sections = ctx.rescue().run("inspect", timeout_s=120).sections()
    found = read_inventory(sections)
    differences = compare(node=ctx.node, found=found)
    if differences:
        raise HardwareMismatch("; ".join(differences)[:1500], differences=differences)

    def apply() -> None:
        node = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=ctx.node.pk)
        bill = dict(node.hardware_bill)
        bill.setdefault(
            "drives", [{k: d[k] for k in ("name", "serial", "model", "size_bytes")} for d in found["drives"]]
        )
        bill["inspected"] = {key: found[key] for key in ("bios", "cpu_cores", "memory_bytes")}
        Node.objects.filter(pk=node.pk).update(hardware_bill=bill)

    return Done(detail={"drives": len(found["drives"]), "gpus": len(found["gpus"]), "bios": found["bios"]}, apply=apply)


def read_inventory(sections: dict[str, str]) -> dict[str, Any]:
    """What inspect.sh printed, as plain facts; sizes in bytes, GPU memory in MiB. Raises ScriptFailed."""
    try:
        memory = next(line for line in sections["memory"].splitlines() if line.startswith("Mem:"))
        return {
            "serial": sections["serial"].strip(),
            "bios": sections.get("bios", "").strip(),
            "cpu_cores": int(sections["processors"]),
            "memory_bytes": int(memory.split()[1]),
            "macs": sorted(
                str(link["address"]).lower() for link in json.loads(sections["links"]) if link.get("address")
            ),
            "drives": read_drives(sections["drives"]),
            "gpus": [
                {"name": row[1], "serial": row[2], "uuid": row[3], "memory_mib": int(row[4])}
                for row in csv.reader(sections.get("gpus", "").splitlines(), skipinitialspace=True)
                if len(row) == 5
            ],
        }
    except (KeyError, ValueError, StopIteration, IndexError, TypeError) as error:
        raise ScriptFailed(f"the node's inventory cannot be read: {type(error).__name__} {error}") from error


def read_drives(text: str) -> list[dict[str, Any]]:
    """Lsblk's disks, by name: name, path, serial, model, size_bytes, transport. Raises ValueError, KeyError."""
    drives = [
        {
            "name": item["name"],
            "path": item["path"],
            "serial": (item.get("serial") or "").strip(),
            "model": (item.get("model") or "").strip(),
            "size_bytes": int(item["size"]),
            "transport": item.get("tran") or "",
        }
        for item in json.loads(text)["blockdevices"]
        if item.get("type") == "disk"
    ]
    return sorted(drives, key=lambda drive: str(drive["name"]))


def compare(*, node: Node, found: dict[str, Any]) -> list[str]:
    """What differs from the enrolled facts, in words; empty when nothing does."""
    said: list[str] = []
    bill, kind = node.hardware_bill, node.node_type
    if found["serial"] != node.serial:
        said.append(f"machine serial {found['serial']}, enrolled {node.serial}")
    if found["macs"] and node.boot_mac.lower() not in found["macs"]:
        said.append(f"no network port has the boot MAC {node.boot_mac}")
    if found["cpu_cores"] < kind.cpu_cores:
        said.append(f"{found['cpu_cores']} processor cores, {kind.cpu_cores} expected")
    if found["memory_bytes"] < kind.memory_gib * _GIB * (1 - _MEMORY_TOLERANCE):
        said.append(f"{found['memory_bytes'] // _GIB} GiB of memory, {kind.memory_gib} expected")
    said += _compare_gpus(node, found["gpus"])
    wanted = {drive["serial"] for drive in bill.get("drives", [])}
    present = {drive["serial"] for drive in found["drives"]}
    if wanted - present:
        said.append(f"drives missing: {', '.join(sorted(wanted - present))}")
    if wanted and present - wanted:
        said.append(f"drives not enrolled: {', '.join(sorted(present - wanted))}")
    if not present:
        said.append("no drive is seen")
    return said


def _compare_gpus(node: Node, gpus: list[dict[str, Any]]) -> list[str]:
    said: list[str] = []
    kind, model = node.node_type, node.node_type.gpu_model
    if len(gpus) != kind.gpu_count:
        said.append(f"{len(gpus)} GPUs, {kind.gpu_count} expected")
    family = model.code.split("-")[0].lower()
    if any(family not in gpu["name"].lower() for gpu in gpus):
        said.append(f"GPU model {gpus[0]['name']}, {model.code} expected")
    # The catalogue gives decimal gigabytes; the driver shows a little less as MiB.
    least = model.memory_gib * 1000**3 / 1024**2 * (1 - _GPU_MEMORY_TOLERANCE)
    if any(gpu["memory_mib"] < least for gpu in gpus):
        said.append(f"a GPU shows less memory than the {model.memory_gib} GB of a {model.code}")
    wanted = set(node.hardware_bill.get("gpus", []))
    present = {gpu["serial"] for gpu in gpus}
    if wanted and wanted != present:
        said.append(
            f"GPUs differ from those enrolled: missing {sorted(wanted - present)}, new {sorted(present - wanted)}"
        )
    return said
