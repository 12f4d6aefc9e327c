"""Reading what GPUs say of themselves: nvidia-smi's XML and DCGM's diagnosis, as measurements and typed findings."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from provisioning.models import HealthFinding

Kind, Severity = HealthFinding.Kind, HealthFinding.Severity
HOTTEST_IDLE_C = 85
# XIDs after which NVIDIA's guide asks for a reset or a replacement; others come from applications.
_BULK = ("supported_clocks", "processes", "accounted_processes")
"""Long parts of nvidia-smi's document that say nothing about health."""
MOST_PARTS = 64
"""GPUs, XID lines and tests of one node at most: before the hand-over its tenant's own system writes the report."""
LONGEST_WORD = 80
_GRAVE_XIDS = frozenset({48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 136, 140, 143, 144, 145})


@dataclass(frozen=True, kw_only=True)
class Finding:
    kind: str
    severity: str
    bars_allocation: bool
    part: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expected:
    gpu_count: int
    gpu_model: str
    gpu_serials: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Report:
    gpu_count: int
    gpu_model: str
    measured: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return not any(finding.bars_allocation for finding in self.findings)


def judge(sections: dict[str, str], *, expected: Expected) -> Report:
    """``sections`` are health.sh's. Never raises: what cannot be read is a finding."""
    try:
        root = _xml(sections.get("nvidia-smi", ""))
        gpus = [_gpu(element) for element in root.findall("gpu")]
        findings = _xids(sections.get("xid", ""))
        if len(gpus) > MOST_PARTS:
            raise ValueError(f"{len(gpus)} GPUs in one node")
    except (ET.ParseError, ValueError, AttributeError, RecursionError) as error:
        finding = Finding(
            kind=Kind.DRIVER,
            severity=Severity.CRITICAL,
            bars_allocation=True,
            evidence={"nvidia_smi": f"{type(error).__name__}: {str(error)[:200]}"},
        )
        return Report(gpu_count=0, gpu_model="", measured={}, findings=(finding,))
    findings += _count_and_model(gpus, expected)
    for gpu in gpus:
        findings += _of_one(gpu)
    diagnosis, more = _diagnosis(sections)
    findings += more
    return Report(
        gpu_count=len(gpus),
        gpu_model=gpus[0]["name"] if gpus else "",
        measured={
            "driver": _word(root, "driver_version"),
            "kernel": _plain(sections.get("system", "")),
            "gpus": gpus,
            "diagnosis": diagnosis,
        },
        findings=tuple(findings),
    )


def _xml(text: str) -> ET.Element:
    if "<!ENTITY" in text:
        raise ValueError("entities are not expected here")
    for name in _BULK:
        text = _without(text, name)
    start = text.find("<?xml")
    return ET.fromstring(text[max(start, 0) :])  # noqa: S314 - entities are refused above, size is bounded


def _without(text: str, name: str) -> str:
    """The text without the elements of that name, in time that grows with its length alone.

    (A regular expression looks for each opening's end anew: a report of openings alone would hold a worker for hours.)
    """
    opening, closing = f"<{name}>", f"</{name}>"
    kept, at = [], 0
    while (begin := text.find(opening, at)) >= 0 and (end := text.find(closing, begin)) >= 0:
        kept.append(text[at:begin])
        at = end + len(closing)
    return "".join([*kept, text[at:]])


def _plain(text: str, longest: int = LONGEST_WORD) -> str:
    """Fit for a column, a page and a log, whoever wrote it."""
    return "".join(char for char in text.strip()[: longest * 2] if char.isprintable())[:longest]


def _word(element: ET.Element, path: str) -> str:
    return _plain(element.findtext(path) or "")


def _number(element: ET.Element, *paths: str) -> int | None:
    """The first of the paths that holds a number; nvidia-smi says N/A for what a GPU does not count."""
    for path in paths:
        found = re.match(r"-?[0-9]{1,15}(?![0-9])", (element.findtext(path) or "").strip())
        if found:
            return int(found[0])
    return None


def _sum(element: ET.Element, path: str, wanted: str) -> int | None:
    block = element.find(path)
    if block is None:
        return None
    texts = [(child.text or "").strip() for child in block if wanted in child.tag]
    counts = [int(text) for text in texts if re.fullmatch(r"[0-9]{1,15}", text)]
    return sum(counts) if counts else None


def _gpu(element: ET.Element) -> dict[str, Any]:
    return {
        "name": _word(element, "product_name"),
        "serial": _word(element, "serial"),
        "uuid": _word(element, "uuid"),
        "bus": _plain(element.get("id", "")),
        "temperature_c": _number(element, "temperature/gpu_temp"),
        "slowdown_c": _number(element, "temperature/gpu_temp_slow_threshold"),
        "memory_mib": _number(element, "fb_memory_usage/total"),
        "power_w": _number(element, "gpu_power_readings/instant_power_draw", "gpu_power_readings/power_draw"),
        "ecc_mode": _word(element, "ecc_mode/current_ecc"),
        "ecc_uncorrectable_volatile": _sum(element, "ecc_errors/volatile", "uncorrectable"),
        "ecc_uncorrectable_aggregate": _sum(element, "ecc_errors/aggregate", "uncorrectable"),
        "remapped_uncorrectable": _number(element, "remapped_rows/remapped_row_unc"),
        "remapping_pending": _word(element, "remapped_rows/remapped_row_pending"),
        "remapping_failed": _word(element, "remapped_rows/remapped_row_failure"),
        "link_width": _number(element, "pci/pci_gpu_link_info/link_widths/current_link_width"),
        "link_width_max": _number(element, "pci/pci_gpu_link_info/link_widths/max_link_width"),
    }


def _count_and_model(gpus: list[dict[str, Any]], expected: Expected) -> list[Finding]:
    findings = []
    if len(gpus) != expected.gpu_count:
        missing = sorted(expected.gpu_serials - {gpu["serial"] for gpu in gpus})
        findings.append(
            Finding(
                kind=Kind.GPU_COUNT,
                severity=Severity.CRITICAL,
                bars_allocation=True,
                evidence={"seen": len(gpus), "expected": expected.gpu_count, "missing": missing},
            )
        )
    family = expected.gpu_model.split("-")[0].lower()
    findings += [
        Finding(
            kind=Kind.GPU_MODEL,
            severity=Severity.CRITICAL,
            bars_allocation=True,
            part=gpu["serial"],
            evidence={"seen": gpu["name"], "expected": expected.gpu_model},
        )
        for gpu in gpus
        if family not in gpu["name"].lower()
    ]
    return findings


def _of_one(gpu: dict[str, Any]) -> list[Finding]:
    part = gpu["serial"] or gpu["uuid"]
    findings = []
    if gpu["ecc_uncorrectable_volatile"]:
        evidence = {"uncorrectable_volatile": gpu["ecc_uncorrectable_volatile"]}
        findings.append(_critical(Kind.ECC, part, evidence))
    elif gpu["ecc_uncorrectable_aggregate"]:
        evidence = {"uncorrectable_aggregate": gpu["ecc_uncorrectable_aggregate"]}
        findings.append(_warning(Kind.ECC, part, evidence))
    if gpu["remapping_failed"] == "Yes":
        findings.append(_critical(Kind.REMAP, part, {"failure": "Yes"}))
    elif gpu["remapping_pending"] == "Yes":
        findings.append(_critical(Kind.REMAP, part, {"pending": "Yes"}))
    temperature = gpu["temperature_c"]
    limit = min(HOTTEST_IDLE_C, gpu["slowdown_c"] or HOTTEST_IDLE_C)
    if temperature is not None and temperature >= limit:
        findings.append(_critical(Kind.THERMAL, part, {"temperature_c": temperature, "limit_c": limit}))
    width, widest = gpu["link_width"], gpu["link_width_max"]
    if width and widest and width < widest:
        findings.append(_warning(Kind.HARDWARE, part, {"pcie_width": width, "pcie_width_max": widest}))
    return findings


def _xids(text: str) -> list[Finding]:
    findings: dict[tuple[str, int], Finding] = {}
    for line in text.splitlines()[-MOST_PARTS:]:
        found = re.search(r"NVRM: Xid \(PCI:([0-9A-Fa-f:.]{1,20})\): ([0-9]{1,6})", line)
        if found:
            bus, xid = found[1], int(found[2])
            make = _critical if xid in _GRAVE_XIDS else _warning
            findings[bus, xid] = make(Kind.XID, f"{bus} xid {xid}", {"xid": xid, "line": _plain(line, 300)})
    return list(findings.values())


def _diagnosis(sections: dict[str, str]) -> tuple[dict[str, str], list[Finding]]:
    """Result by test name, and findings. DCGM 3 and 4 differ in the names of fields; both are read."""
    if "diagnosis" not in sections:
        return {}, []
    try:
        document = json.loads(sections["diagnosis"])
        body = document.get("DCGM Diagnostic", document.get("DCGM GPU Diagnostic", {}))
        results: dict[str, str] = {}
        warnings: list[str] = []
        for category in body["test_categories"]:
            for test in category["tests"]:
                statuses = [str(result.get("status", "")) for result in test.get("results", [])]
                failed = any(status.lower() == "fail" for status in statuses)
                status = "Fail" if failed else (statuses[0] if statuses else "Skip")
                results[_plain(str(test["name"]))] = _plain(status)
                if len(results) > MOST_PARTS:
                    raise ValueError("too many tests")
                for result in test.get("results", []):
                    warnings += [
                        _plain(str(item.get("warning", item) if isinstance(item, dict) else item), 200)
                        for item in (result.get("warnings") or [])[:MOST_PARTS]
                    ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {}, [_critical(Kind.DIAGNOSIS, "", {"unreadable": type(error).__name__})]
    failures = sorted(name for name, status in results.items() if status == "Fail")
    findings = [_critical(Kind.DIAGNOSIS, name, {"test": name, "warnings": warnings[:5]}) for name in failures]
    status = sections.get("diagnosis-status", "0").strip()
    if not findings and status not in {"", "0"}:
        findings.append(_critical(Kind.DIAGNOSIS, "", {"exit_status": status}))
    return results, findings


def _critical(kind: str, part: str, evidence: dict[str, Any]) -> Finding:
    return Finding(kind=kind, severity=Severity.CRITICAL, bars_allocation=True, part=part, evidence=evidence)


def _warning(kind: str, part: str, evidence: dict[str, Any]) -> Finding:
    return Finding(kind=kind, severity=Severity.WARNING, bars_allocation=False, part=part, evidence=evidence)
