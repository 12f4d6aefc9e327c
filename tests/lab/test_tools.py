"""The tools a node offers, used as deploy, erase and health scripts use them, over SSH."""

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lab import shims
from lab.sandbox import PERL
from lab.seed import read_fat_root

NODE = "kla-b300-01"
MARKER = b"tenant secret 4711"
PERL_SHIMS = sorted(
    path for path in (Path(shims.__file__).parent / "bin").iterdir() if "use strict" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", PERL_SHIMS, ids=lambda path: path.name)
def test_a_shim_in_perl_compiles_under_the_pragmas_that_its_installed_copy_goes_without(path):
    text = path.read_text(encoding="utf-8")
    assert shims._PRAGMAS in text
    checked = subprocess.run([PERL, "-c", str(path)], capture_output=True, text=True, timeout=20, check=False)
    assert (checked.returncode, checked.stderr) == (0, f"{path} syntax OK\n")


@pytest.fixture(scope="module")
def sh(emulator):
    """Runs a script on a node in rescue; stdout, after asserting that it went well."""
    emulator.platform.reset()
    host_key = emulator.boot_rescue(NODE)
    with emulator.login(NODE, host_key=host_key) as client:

        def run(script: str, status: int = 0) -> str:
            got, out, err = emulator.sh(client, script)
            assert got == status, err
            return out

        yield run
    emulator.log_out()


@pytest.fixture
def disks(sh, emulator):
    """Clean drives before each test; the directory they are in."""
    sh('for d in $(lsblk -ndo PATH); do blkdiscard -f "$d"; done')
    return emulator.directory(NODE) / "disks"


def test_drives_are_listed_alike_by_nvme_and_lsblk(sh, emulator, disks):
    node = emulator.node(NODE)
    listed = json.loads(sh("nvme list -o json"))["Devices"]
    blocks = json.loads(sh("lsblk -J -b -d -o NAME,PATH,SERIAL,MODEL,SIZE,TYPE,TRAN"))["blockdevices"]
    wanted = [(d.name, str(disks / d.name), d.serial, d.model, d.size_bytes) for d in node.drives]
    assert [(b["name"], b["path"], b["serial"], b["model"], b["size"]) for b in blocks] == wanted
    assert {(b["type"], b["tran"]) for b in blocks} == {("disk", "nvme")}
    assert [(n["DevicePath"], n["SerialNumber"], n["ModelNumber"], n["PhysicalSize"]) for n in listed] == [
        item[1:] for item in wanted
    ]


def test_an_image_and_a_seed_are_read_back_as_written(sh, disks):
    sh(
        'D=$(lsblk -ndo PATH | head -1); printf abc | dd of="$D" conv=fsync,notrunc oflag=direct 2>/dev/null\n'
        'sgdisk -n 1:2048:+1G -c 1:root "$D" && sgdisk -n 0:-64M:0 -c 0:cidata -t 0:0700 "$D" && partprobe "$D"\n'
        'cd "$TMPDIR"; head -c 5000 /dev/urandom >user-data; echo "a: 1" >meta-data; : >vendor-data\n'
        'mkfs.vfat -n CIDATA "${D}p2" && mcopy -i "${D}p2" meta-data user-data vendor-data ::\n'
        'echo "a: 2" >meta-data && mcopy -o -i "${D}p2" meta-data ::\n'
        'mcopy -i "${D}p2" ::user-data back && cmp back user-data && cp user-data disks-copy'
    )
    first = disks / "nvme0n1"
    assert first.stat().st_size == 960_000_000_000
    with first.open("rb") as stream:
        assert stream.read(4) == b"abc\0"
    files = read_fat_root(disks / "nvme0n1p2", label=b"CIDATA")
    assert files["meta-data"] == b"a: 2\n"
    assert files["vendor-data"] == b""
    assert files["user-data"] == (disks.parent / "tmp" / "user-data").read_bytes()
    tree = json.loads(sh("lsblk -J -b -o NAME,TYPE,SIZE,PARTLABEL,FSTYPE,LABEL"))["blockdevices"][0]
    seed = tree["children"][1]
    assert 63 * 2**20 <= seed.pop("size") <= 64 * 2**20
    assert seed == {
        "name": "nvme0n1p2",
        "type": "part",
        "partlabel": "cidata",
        "fstype": "vfat",
        "label": "CIDATA",
    }
    if shutil.which("mdir"):
        listing = subprocess.run(
            ["mdir", "-b", "-i", disks / "nvme0n1p2", "::"], capture_output=True, text=True, check=True
        )
        assert listing.stdout.split() == ["::/user-data", "::/vendor-data", "::/meta-data"]


@pytest.mark.parametrize(
    ("drive", "command"),
    [
        ("nvme0n1", 'nvme format "$D" -s 2 -f'),
        ("nvme0n1", 'nvme format "$D" --ses=1'),
        ("nvme1n1", 'nvme sanitize "$D" -a 2'),
        ("nvme1n1", 'nvme sanitize "${D%n1}" --sanact=4'),
        ("nvme2n1", 'blkdiscard -f "$D"'),
    ],
)
def test_an_erase_removes_a_marker_from_the_raw_disk(sh, disks, drive, command):
    write = f'D=$LAB_NODE/disks/{drive}; printf %s "{MARKER.decode()}" | dd of="$D" bs=512 seek=1000000 2>/dev/null\n'
    sh(write + 'sgdisk -n 1:0:+8M "$D" >/dev/null')
    with (disks / drive).open("rb") as stream:
        stream.seek(512_000_000)
        assert stream.read(len(MARKER)) == MARKER
    size = (disks / drive).stat().st_size
    sh(f"D=$LAB_NODE/disks/{drive}; {command}")
    with (disks / drive).open("rb") as stream:
        stream.seek(512_000_000)
        assert stream.read(len(MARKER)) == bytes(len(MARKER))
    assert (disks / drive).stat().st_size == size
    assert (disks / drive).stat().st_blocks == 0
    assert not (disks / f"{drive}p1").exists()


def test_capabilities_differ_by_drive_and_an_unsupported_erase_is_refused(sh, disks):
    boot, data = (json.loads(sh(f"nvme id-ctrl $LAB_NODE/disks/{d} -o json")) for d in ("nvme0n1", "nvme1n1"))
    assert (boot["sanicap"], boot["oacs"] & 2, boot["fna"] & 4) == (0, 2, 4)
    assert data["sanicap"] & 3 == 3
    sh("nvme sanitize $LAB_NODE/disks/nvme0n1 -a 2", status=1)
    sh("nvme sanitize $LAB_NODE/disks/nvme1n1 -a 3", status=1)
    sh("nvme sanitize $LAB_NODE/disks/nvme1n1 -a 2")
    log = json.loads(sh("nvme sanitize-log $LAB_NODE/disks/nvme1n1 -o json"))["nvme1n1"]
    assert log["sprog"] == 65535
    assert log["sstat"]["status"] == "(1) Most Recent Sanitize Command Completed Successfully."
    assert log["sstat"]["global_erased"] == 1


def test_a_format_without_secure_erase_setting_erases_nothing(sh, disks):
    write = f'printf %s "{MARKER.decode()}" | dd of="$LAB_NODE/disks/nvme0n1" 2>/dev/null\n'
    assert "Success" in sh(write + "nvme format $LAB_NODE/disks/nvme0n1")
    with (disks / "nvme0n1").open("rb") as stream:
        assert stream.read(len(MARKER)) == MARKER


def test_faulty_drives_fail_or_lie_as_told(sh, emulator, disks):
    sh(f'printf %s "{MARKER.decode()}" | dd of="$LAB_NODE/disks/nvme1n1" 2>/dev/null')
    emulator.fault(NODE, erase_fails=1)
    sh("nvme format $LAB_NODE/disks/nvme1n1 -s 1", status=1)
    sh("nvme sanitize $LAB_NODE/disks/nvme1n1 -a 2")
    assert '"status":"(3)' in sh("nvme sanitize-log $LAB_NODE/disks/nvme1n1 -o json")
    emulator.fault(NODE, erase_fails=0, erase_lies=1)
    sh("nvme sanitize $LAB_NODE/disks/nvme1n1 -a 2")
    assert '"status":"(1)' in sh("nvme sanitize-log $LAB_NODE/disks/nvme1n1 -o json")
    emulator.fault(NODE, erase_lies=0)
    with (disks / "nvme1n1").open("rb") as stream:
        assert stream.read(len(MARKER)) == MARKER


def test_nvidia_smi_speaks_of_eight_healthy_gpus(sh, emulator):
    node = emulator.node(NODE)
    root = ET.fromstring(sh("nvidia-smi -q -x"))  # noqa: S314 - our own output
    gpus = root.findall("gpu")
    assert root.findtext("attached_gpus") == "8"
    assert [gpu.findtext("uuid") for gpu in gpus] == list(node.gpu_uuids)
    assert [gpu.findtext("serial") for gpu in gpus] == list(node.gpu_serials)
    assert {gpu.findtext("fb_memory_usage/total") for gpu in gpus} == {"275040 MiB"}
    assert {gpu.findtext("ecc_mode/current_ecc") for gpu in gpus} == {"Enabled"}
    assert {gpu.findtext("ecc_errors/volatile/dram_uncorrectable") for gpu in gpus} == {"0"}
    assert {gpu.findtext("remapped_rows/remapped_row_failure") for gpu in gpus} == {"No"}
    assert {gpu.findtext("pci/pci_gpu_link_info/link_widths/current_link_width") for gpu in gpus} == {"16x"}
    assert not [element.tag for element in root.iter() if "@" in (element.text or "")]
    table = sh(
        "nvidia-smi --query-gpu=index,serial,memory.total,ecc.errors.uncorrected.volatile.total --format=csv,noheader"
    )
    assert table.splitlines()[7] == f"7, {node.gpu_serials[7]}, 275040 MiB, 0"
    plain = sh("nvidia-smi --query-gpu=name,memory.total --format=csv,nounits").splitlines()
    assert plain[:2] == ["name, memory.total", "NVIDIA B300 SXM6 AC, 275040"]
    sh("nvidia-smi --query-gpu=nonsense --format=csv", status=2)


def test_missing_and_failing_gpus_show_everywhere(sh, emulator):
    emulator.fault(NODE, gpu_missing=1, gpu_ecc=3)
    assert len(sh("nvidia-smi -L").splitlines()) == 7
    assert len(sh("lspci -d 10de:").splitlines()) == 7
    root = ET.fromstring(sh("nvidia-smi -q -x"))  # noqa: S314 - our own output
    assert root.findtext("gpu/ecc_errors/volatile/dram_uncorrectable") == "3"
    assert '"status":"Fail"' in sh("dcgmi diag -r 1 -j", status=226)
    emulator.fault(NODE, gpu_missing=0, gpu_ecc=0)
    report = json.loads(sh("dcgmi diag -r 1 -j"))
    categories = report["DCGM Diagnostic"]["test_categories"]
    assert [category["category"] for category in categories] == ["Deployment"]
    assert [r["status"] for r in categories[0]["tests"][0]["results"]] == ["Pass"] * 8


def test_host_facts_are_the_rack_file_s(sh, emulator):
    node = emulator.node(NODE)
    assert sh("dmidecode -s system-serial-number").strip() == node.serial
    assert sh("nproc").strip() == str(node.cpu_cores)
    assert int(sh("free -b | awk '/^Mem:/ { print $2 }'")) // 2**30 in range(node.memory_gib - 40, node.memory_gib + 1)
    links = {link["ifname"]: link["address"] for link in json.loads(sh("ip -j link"))}
    assert links["eno1"] == node.mac
    assert sh("sudo -n id -un; whoami; uname -n") == "root\nroot\nrescue-7\n"
    assert (
        sh(
            "for t in cat grep sed head tail tr sort wc mktemp tee od gzip zstd efibootmgr; do command -v $t; done"
        ).count("\n")
        >= 13
    )


def test_curl_fails_as_curl_does(sh, emulator):
    url = emulator.platform.url
    sh(f"curl -fsS {url}/artefacts/none", status=22)
    sh("curl -fsS http://127.88.0.1:1/", status=7)
    assert (
        sh(f"curl -fsSL -o f {url}/artefacts/initrd.img && gzip -t f && curl -s -w '%{{http_code}}' {url}/none")
        == "no such file404"
    )
    assert sh(f"curl -fsS -X POST --data-binary 'a=1&b=2' {url}/posted") == ""
    assert emulator.platform.calls[-1] == {"a": "1", "b": "2"}
