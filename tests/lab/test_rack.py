"""Rack files: what is generated can be loaded, and what makes no sense is refused by name."""

import gzip
import hashlib
import json
import signal
import stat
from collections import Counter

import pytest

from lab import artefacts, fleet, image
from lab.faults import ask
from lab.rack import RackError, Timing, load, save
from lab.seed import parse_seed, read_header
from tests.lab.emulator import remove_run_directory, start_lab, stop_lab


def test_the_demonstration_fleet_is_the_one_promised():
    rack = fleet.generate(fleet=fleet.FLEETS["demo"])
    assert Counter((n.site, n.gpu_model) for n in rack.nodes) == {
        ("kladno", "B300"): 14,
        ("kladno", "H200"): 35,
        ("budapest", "H200"): 6,
        ("warsaw", "H200"): 6,
        ("amsterdam", "H200"): 4,
        ("amsterdam", "B300"): 2,
    }
    assert {n.gpu_count for n in rack.nodes} == {8}


def test_a_thousand_nodes_share_no_address_serial_mac_or_password(tmp_path):
    rack = fleet.generate(fleet=fleet.bench_fleet(count=1000), ipmi_share=0.25)
    for values in (
        [n.serial for n in rack.nodes],
        [n.mac for n in rack.nodes],
        [n.bmc.password for n in rack.nodes],
        [n.bmc.address for n in rack.nodes],
        [n.ssh.address for n in rack.nodes],
        [s for n in rack.nodes for s in n.gpu_serials],
    ):
        assert len(values) == len(set(values))
    assert Counter(n.bmc.protocol for n in rack.nodes) == {"redfish": 750, "ipmi": 250}
    save(rack=rack, path=tmp_path / "rack.json")
    assert stat.S_IMODE((tmp_path / "rack.json").stat().st_mode) == 0o600
    assert load(path=tmp_path / "rack.json") == rack


def test_the_command_line_writes_a_rack_file(tmp_path, capsys):
    out = tmp_path / "rack.json"
    assert fleet.main(["generate", "--out", str(out), "--fleet", "small", "--ipmi", "all", "--net", "127.92"]) == 0
    assert {n.bmc.protocol for n in load(path=out).nodes} == {"ipmi"}
    assert "6 nodes" in capsys.readouterr().out
    assert fleet.main(["generate", "--out", str(out), "--net", "10.1"]) == 1
    assert "loopback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.update(version=2), "version 1 expected"),
        (lambda r: r["nodes"][0]["ssh"].update(address="192.0.2.1"), "loopback"),
        (lambda r: r["nodes"][0].update(name="../x"), "node name"),
        (lambda r: r["nodes"][0]["drives"][0].update(name="a/b"), "drive name"),
        (lambda r: r["nodes"][1].update(serial=r["nodes"][0]["serial"]), "used twice"),
        (lambda r: r["nodes"][0].update(gpu_serials=[]), "8 GPU serials"),
        (lambda r: r["nodes"][0]["bmc"].update(protocol="ssh"), "protocol"),
        (lambda r: r["nodes"][0].pop("mac"), "mac"),
    ],
)
def test_a_wrong_rack_file_is_refused_with_the_reason(tmp_path, change, complaint):
    raw = json.loads(fleet.generate(fleet=fleet.FLEETS["small"]).to_json())
    change(raw)
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(RackError, match=complaint):
        load(path=path)


def test_images_are_the_same_everywhere_and_bootable(tmp_path):
    one, two = image.build(directory=tmp_path / "a"), image.build(directory=tmp_path / "b")
    assert one == two
    index = json.loads((tmp_path / "a" / "index.json").read_text())
    for entry in index:
        packed = (tmp_path / "a" / entry["file"]).read_bytes()
        assert (len(packed), hashlib.sha256(packed).hexdigest()) == (entry["size_bytes"], entry["sha256"])
        (tmp_path / "disk").write_bytes(gzip.decompress(packed))
        header = read_header(tmp_path / "disk")
        assert header is not None
        assert (header.os, header.default_user) == (entry["os"], entry["default_user"])
        assert (tmp_path / "disk").stat().st_size == entry["raw_bytes"] == 2 * 1024 * 1024
    kernel, initrd, _loader = artefacts.build(directory=tmp_path)
    assert kernel.read_bytes()[0x202:0x206] == b"HdrS"
    assert gzip.decompress(initrd.read_bytes()).startswith(b"070701")


META = b"instance-id: i-9\nlocal-hostname: h\npublic-keys:\n- ssh-ed25519 A a\n"
VENDOR = b"#cloud-config\nssh_authorized_keys: [ssh-ed25519 D d]\nphone_home: {url: http://x, post: all}\n"


def test_keys_of_user_data_replace_the_vendor_s_and_keys_of_metadata_stay():
    user = b"""#cloud-config
ssh_authorized_keys: [ssh-ed25519 B b]
runcmd: [rm -rf /]
users: [default, {name: ops, ssh_authorized_keys: [ssh-ed25519 C c]}]
"""
    seed = parse_seed({"meta-data": META, "user-data": user, "vendor-data": VENDOR})
    assert seed.default_keys == ("ssh-ed25519 A a", "ssh-ed25519 B b")
    assert seed.users == {"ops": ("ssh-ed25519 C c",)}
    assert seed.phone_home == {"url": "http://x", "post": "all"}
    appending = VENDOR + b"merge_how: list(append)+dict(recurse_array)+str()\n"
    seed = parse_seed({"meta-data": META, "user-data": user, "vendor-data": appending})
    assert seed.default_keys == ("ssh-ed25519 A a", "ssh-ed25519 B b", "ssh-ed25519 D d")


def test_the_vendor_s_keys_count_when_user_data_is_a_script_or_garbage():
    for user in (b"#!/bin/sh\nreboot\n", b"#cloud-config\n- not a mapping\n", b"#cloud-config\n{", b""):
        seed = parse_seed({"meta-data": META, "user-data": user, "vendor-data": VENDOR})
        assert seed.default_keys == ("ssh-ed25519 A a", "ssh-ed25519 D d")
    assert parse_seed({"meta-data": b"[]"}).default_keys == ()


def test_a_restarted_lab_remembers_power_and_boot_device_and_a_second_lab_is_refused(tmp_path):
    rack = fleet.generate(
        fleet=fleet.FLEETS["small"], net="127.94", ipmi_share=0.5, timing=Timing(post_s=0, rescue_s=0, os_s=0, off_s=0)
    )
    save(rack=rack, path=tmp_path / "rack.json")
    name = rack.nodes[0].name
    process = start_lab(tmp_path)
    try:
        assert ask(state=tmp_path, request={"op": "power", "node": name, "action": "on"})["power_on"] is True
        nodes = ask(state=tmp_path, request={"op": "status"})["nodes"]
        assert Counter(node["bmc"].split()[0] for node in nodes) == {"redfish": 3, "ipmi": 3}
        with pytest.raises(AssertionError):
            start_lab(tmp_path)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    process = start_lab(tmp_path)
    try:
        assert ask(state=tmp_path, request={"op": "status", "node": name})["power_on"] is True
        other = ask(state=tmp_path, request={"op": "status", "node": rack.nodes[1].name})
        assert other["power_on"] is False
    finally:
        stop_lab(process)
        remove_run_directory(tmp_path)
