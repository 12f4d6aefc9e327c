"""The demonstration fleet as a fleet file: the rack's facts, and what its sites and hardware are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Places are the cities' own; the envelope is what a modular data centre of this kind draws.
SITES = {
    "kladno": ("Kladno", "Kladno", "CZ", "50.14734", "14.10285", 1000),
    "budapest": ("Budapest", "Budapest", "HU", "47.49801", "19.03991", 300),
    "warsaw": ("Warsaw", "Warsaw", "PL", "52.22977", "21.01178", 300),
    "amsterdam": ("Amsterdam", "Amsterdam", "NL", "52.37403", "4.88969", 300),
}
# NVIDIA's data sheets; the catalogue's memory in GB, the draw of a whole node at its maximum.
GPU_MODELS = {
    "H200": {"code": "H200-SXM", "memory_gib": 141, "tdp_w": 700, "source": "NVIDIA H200 data sheet; DGX H200 guide"},
    "B300": {"code": "B300-SXM", "memory_gib": 288, "tdp_w": 1100, "source": "NVIDIA DGX B300 data sheet"},
}
NODE_TYPES = {
    "H200": {
        "code": "h200-8",
        "name": "8 x H200",
        "gpu_model": "H200-SXM",
        "max_draw_w": 10_200,
        "nic_summary": "8 x 400 Gb/s InfiniBand, 2 x 200 GbE",
    },
    "B300": {
        "code": "b300-8",
        "name": "8 x B300",
        "gpu_model": "B300-SXM",
        "max_draw_w": 14_000,
        "nic_summary": "8 x 800 Gb/s InfiniBand, 2 x 200 GbE",
    },
}
IMAGE_NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}
RACK_POWER_KW = 80
GIB = 1024**3


def fleet_document(*, rack: Mapping[str, Any], images: list[Mapping[str, Any]]) -> dict[str, Any]:
    """``rack`` and ``images`` are the parsed files of the emulated rack; nothing of its code is used."""
    nodes = rack["nodes"]
    sites = sorted({node["site"] for node in nodes})
    models = sorted({node["gpu_model"] for node in nodes})
    racks = sorted({(node["rack"], node["site"]) for node in nodes})
    return {
        "sites": [_site(code) for code in sites],
        "pools": [{"code": f"{code}-one", "name": f"{SITES[code][0]} One", "site": code} for code in sites],
        "racks": [{"code": code, "site": site, "power_limit_kw": RACK_POWER_KW} for code, site in racks],
        "fabrics": [
            {"code": f"{site}-{model.lower()}", "site": site}
            for site, model in sorted({(node["site"], node["gpu_model"]) for node in nodes})
        ],
        "gpu_models": [GPU_MODELS[model] for model in models],
        "node_types": [_node_type(model, next(n for n in nodes if n["gpu_model"] == model)) for model in models],
        "images": [_image(entry) for entry in images],
        "nodes": [_node(node) for node in nodes],
    }


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _site(code: str) -> dict[str, Any]:
    name, city, country, latitude, longitude, envelope_kw = SITES[code]
    return {
        "code": code,
        "name": name,
        "city": city,
        "country": country,
        "latitude": latitude,
        "longitude": longitude,
        "power_envelope_kw": envelope_kw,
    }


def _node_type(model: str, example: Mapping[str, Any]) -> dict[str, Any]:
    data_drives = example["drives"][1:] or example["drives"]
    return {
        **NODE_TYPES[model],
        "gpu_count": example["gpu_count"],
        "cpu_cores": example["cpu_cores"],
        "memory_gib": example["memory_gib"],
        "drive_gib": data_drives[0]["size_bytes"] // GIB,
        "drive_count": len(data_drives),
    }


def _image(entry: Mapping[str, Any]) -> dict[str, Any]:
    family, _, release = str(entry["os"]).partition("-")
    return {
        "code": str(entry["os"]).replace(".", "-"),
        "version": entry["version"],
        "name": f"{IMAGE_NAMES.get(family, family.title())} {release}".strip(),
        "path": entry["file"],
        "compression": entry["compression"],
        "sha256": entry["sha256"],
        "size_bytes": entry["size_bytes"],
        "default_user": entry["default_user"],
    }


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    bmc = node["bmc"]
    return {
        "name": node["name"],
        "serial": node["serial"],
        "site": node["site"],
        "rack": node["rack"],
        "pool": f"{node['site']}-one",
        "fabric": f"{node['site']}-{node['gpu_model'].lower()}",
        "node_type": NODE_TYPES[node["gpu_model"]]["code"],
        "boot_mac": node["mac"],
        "tenant_address": node["ssh"]["address"],
        "tenant_ssh_port": node["ssh"]["port"],
        "drives": [{key: drive[key] for key in ("name", "serial", "model", "size_bytes")} for drive in node["drives"]],
        "gpu_serials": node["gpu_serials"],
        "bmc": {
            "driver": bmc["protocol"],
            "address": bmc["address"],
            "port": bmc["port"],
            "username": bmc["username"],
            "password": bmc["password"],
            "cipher_suite": bmc.get("cipher_suite", 17),
        },
    }
