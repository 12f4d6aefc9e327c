"""The deploy protocol from power-on to the tenant's log-in and back, over real Redfish, HTTP and SSH."""

import base64
import json
import subprocess

import paramiko
import pytest
import sushy
import yaml

from tests.lab.emulator import deploy_script

NODE = "kla-h200-01"


def system_ssh(lab, name, user, host_key, command, tmp_path, *, key_file=None, terminal=False):
    ssh = lab.node(name).ssh
    known = tmp_path / "known_hosts"
    known.write_text(f"[{ssh.address}]:{ssh.port} {host_key}\n")
    arguments = ["ssh", "-F", "none", "-i", key_file or lab.key_file, "-p", str(ssh.port)]
    for option in (f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes"):
        arguments += ["-o", option]
    arguments += ["-tt"] if terminal else []
    return subprocess.run(
        [*arguments, f"{user}@{ssh.address}", *([command] if command else [])],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        input="echo two-$((1+1)); exit 7\n" if not command else None,
    )


def image_index(lab):
    index = json.loads((lab.platform.directory / "index.json").read_text())
    return {entry["os"]: entry for entry in index}


def deploy(lab, name, os, *, keys, seed_keys=(), phone_home="/phone/1", instance="i-1"):
    """Deploys by the protocol of the field; the OS host key the node phoned home with."""
    host_key = lab.boot_rescue(name)
    entry = image_index(lab)[os]
    vendor = {
        "phone_home": {
            "url": f"{lab.platform.url}{phone_home}",
            "post": ["pub_key_ed25519", "instance_id", "hostname"],
            "tries": 5,
        },
        "ssh_authorized_keys": list(seed_keys),
    }
    seed = {
        "meta-data": yaml.safe_dump({"instance-id": instance, "local-hostname": "tenant-a", "public-keys": list(keys)}),
        "user-data": "#cloud-config\n{}\n",
        "vendor-data": "#cloud-config\n" + yaml.safe_dump(vendor),
    }
    with lab.login(name, host_key=host_key) as client:
        script = deploy_script(url=f"{lab.platform.url}/images/{entry['file']}", sha256=entry["sha256"], seed=seed)
        status, out, err = lab.sh(client, script)
        assert (status, err) == (0, "")
        assert out.startswith("deployed ")
    before = len(lab.platform.calls)
    system = lab.redfish(name).get_system("/redfish/v1/Systems/1")
    system.reset_system(sushy.ResetType.FORCE_OFF)
    lab.until(name, "off")
    system.reset_system(sushy.ResetType.ON)
    lab.platform.wait(lab.platform.calls, before + 1)
    return lab.platform.calls[-1]


def test_a_node_boots_rescue_over_http_and_reports_with_a_new_host_key_each_time(lab):
    first = lab.boot_rescue(NODE)
    second = lab.boot_rescue(NODE)
    node = lab.node(NODE)
    assert first != second
    assert lab.platform.reports[-1] == {"mac": node.mac, "serial": node.serial, "host_keys": [second]}
    fetched = [r for r in lab.platform.requests if r.startswith("GET")]
    assert fetched[-4:] == [
        "GET /boot/t0ken/ipxe.efi",
        "GET /boot/t0ken/autoexec.ipxe",
        "GET /artefacts/vmlinuz",
        "GET /artefacts/initrd.img",
    ]
    with lab.login(NODE, host_key=second) as client:
        assert lab.sh(client, "hostname; id -un; echo $HOME >/dev/null; exit 4") == (4, "rescue-7\nroot\n", "")


def test_pxe_asks_by_mac_and_follows_the_chain(lab):
    system = lab.redfish(NODE).get_system("/redfish/v1/Systems/1")
    system.reset_system(sushy.ResetType.FORCE_OFF)
    lab.until(NODE, "off")
    system.set_system_boot_options(
        target=sushy.BootSource.PXE,
        enabled=sushy.BootSourceOverrideEnabled.ONCE,
        mode=sushy.BootSourceOverrideMode.UEFI,
    )
    system.reset_system(sushy.ResetType.ON)
    lab.platform.wait(lab.platform.reports, 1)
    node = lab.node(NODE)
    assert lab.platform.requests[:2] == [
        f"GET /boot/mac/{node.mac}",
        f"GET /boot/t0ken/script.ipxe?mac={node.mac}&serial={node.serial}",
    ]
    system.refresh(force=True)
    assert system.boot["enabled"] == sushy.BootSourceOverrideEnabled.DISABLED


def test_a_refused_report_leaves_the_node_in_rescue_and_is_not_repeated(lab):
    lab.platform.report_status = 404
    lab.boot_rescue(NODE)
    lab.until(NODE, "rescue")
    assert lab.platform.requests.count("POST /report/t0ken") == 1


@pytest.mark.parametrize(("os", "user"), [("debian-12", "debian"), ("ubuntu-24.04", "ubuntu")])
def test_a_deployed_node_lets_the_tenant_in_with_the_system_ssh_client(lab, tmp_path, os, user):
    call = deploy(lab, NODE, os, keys=[lab.authorized], instance=f"i-{os}")
    assert call["instance_id"] == f"i-{os}"
    assert call["hostname"] == "tenant-a"
    done = system_ssh(lab, NODE, user, call["pub_key_ed25519"], "nvidia-smi -L", tmp_path)
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 8), done.stderr
    assert lines[0] == f"GPU 0: NVIDIA H200 (UUID: {lab.node(NODE).gpu_uuids[0]})"
    plain = system_ssh(lab, NODE, user, call["pub_key_ed25519"], None, tmp_path)
    assert (plain.returncode, plain.stdout) == (7, "two-2\n")
    typed = system_ssh(lab, NODE, user, call["pub_key_ed25519"], None, tmp_path, terminal=True)
    assert typed.returncode == 7
    assert "two-2" in typed.stdout
    assert system_ssh(lab, NODE, user, call["pub_key_ed25519"], "kill -9 $$", tmp_path).returncode != 0
    assert system_ssh(lab, NODE, "root", call["pub_key_ed25519"], "true", tmp_path).returncode == 255


def test_the_system_keeps_its_host_key_over_a_reboot_and_phones_home_once(lab):
    call = deploy(lab, NODE, "debian-12", keys=[lab.authorized], instance="i-reboot")
    with lab.login(NODE, user="debian", host_key=call["pub_key_ed25519"]) as client:
        boots = lab.status(NODE)["boots"]
        status, _, err = lab.sh(client, "echo kept >note; reboot")
        assert (status, "authentication required" in err) == (1, True)
        lab.sh(client, "sudo -n reboot")
    while lab.status(NODE)["boots"] == boots:
        pass
    lab.until(NODE, "system")
    with lab.login(NODE, user="debian", host_key=call["pub_key_ed25519"]) as client:
        assert lab.sh(client, "cat note") == (0, "kept\n", "")
        lab.sh(client, "sudo -n poweroff")
    lab.until(NODE, "off")
    assert len(lab.platform.calls) == 1


def test_a_key_removed_from_authorized_keys_is_refused_at_the_next_login(lab):
    one_time = paramiko.Ed25519Key.from_private_key_file(str(lab.key_file))
    line = f"{lab.authorized} deployment"
    call = deploy(lab, NODE, "debian-12", keys=[], seed_keys=[line], instance="i-keys")
    host_key = call["pub_key_ed25519"]
    with lab.login(NODE, user="debian", host_key=host_key, key=one_time) as client:
        script = "f=~/.ssh/authorized_keys; grep -v ' deployment$' $f >$f.new; mv $f.new $f; wc -l <$f"
        assert lab.sh(client, script) == (0, "0\n", "")
    with pytest.raises(paramiko.AuthenticationException):
        lab.login(NODE, user="debian", host_key=host_key, key=one_time)


def test_a_stranger_s_key_and_an_unknown_user_are_refused(lab, tmp_path):
    host_key = lab.boot_rescue(NODE)
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    with pytest.raises(paramiko.AuthenticationException):
        lab.login(NODE, host_key=host_key, key=paramiko.Ed25519Key.from_private_key_file(str(other)))
    with pytest.raises(paramiko.AuthenticationException):
        lab.login(NODE, user="debian", host_key=host_key)


def test_a_disk_without_the_image_header_does_not_boot(lab):
    name = "kla-h200-02"
    lab.redfish(name).get_system("/redfish/v1/Systems/1").reset_system(sushy.ResetType.ON)
    lab.until(name, "halted")
    assert "no bootable device" in lab.console(name)


def test_a_script_that_is_gone_falls_through_to_the_disk_as_firmware_does(lab):
    name = "kla-h200-02"
    lab.platform.scripts["/boot/t0ken/script.ipxe"] = "#!ipxe\nkernel /artefacts/missing\nboot\n"
    system = lab.redfish(name).get_system("/redfish/v1/Systems/1")
    system.reset_system(sushy.ResetType.FORCE_OFF)
    lab.until(name, "off")
    system.set_system_boot_options(target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE)
    lab.platform.scripts[f"/boot/mac/{lab.node(name).mac}"] = "#!ipxe\nkernel /artefacts/missing\nboot\n"
    system.reset_system(sushy.ResetType.ON)
    lab.until(name, "halted")
    assert "HTTP 404" in lab.console(name)
    assert lab.platform.reports == []


def test_a_line_with_two_ways_takes_the_second_when_the_first_fails(lab):
    node = lab.node(NODE)
    lab.platform.scripts[f"/boot/mac/{node.mac}"] = (
        "#!ipxe\nkernel /artefacts/missing || kernel /artefacts/vmlinuz chapek.sshkey="
        + base64.b64encode(lab.authorized.encode()).decode()
        + "\ninitrd /artefacts/initrd.img\nboot || exit\n"
    )
    system = lab.redfish(NODE).get_system("/redfish/v1/Systems/1")
    system.reset_system(sushy.ResetType.FORCE_OFF)
    lab.until(NODE, "off")
    system.set_system_boot_options(target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE)
    system.reset_system(sushy.ResetType.ON)
    lab.until(NODE, "rescue")


def test_firmware_runs_no_script_that_http_boot_points_it_to(lab):
    name = "kla-h200-02"
    system = lab.redfish(name).get_system("/redfish/v1/Systems/1")
    system.reset_system(sushy.ResetType.FORCE_OFF)
    lab.until(name, "off")
    system.set_system_boot_options(
        target=sushy.BootSource.UEFI_HTTP,
        enabled=sushy.BootSourceOverrideEnabled.ONCE,
        mode=sushy.BootSourceOverrideMode.UEFI,
        http_boot_uri=f"{lab.platform.url}/boot/t0ken/script.ipxe",
    )
    system.reset_system(sushy.ResetType.ON)
    lab.until(name, "halted")
    assert "not an EFI application" in lab.console(name)
