"""Node commands harm nothing outside their node: whoever started the lab, and whatever the script says."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sushy

from lab import shims
from lab.rack import RackError, require_loopback
from lab.sandbox import UNPRIVILEGED_ID, prepare, unreachable_parent
from lab.shell import NodeShell

NODE = "waw-h200-01"
ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def rescue(emulator):
    """One node in rescue for the whole module, and a shell on it."""
    emulator.platform.reset()
    host_key = emulator.boot_rescue(NODE)
    with emulator.login(NODE, host_key=host_key) as client:
        yield lambda script, **options: emulator.sh(client, script, **options)
    emulator.log_out()


@pytest.fixture
def marker(tmp_path):
    """A file outside every node that anybody could delete, were it not for the fence."""
    tmp_path.chmod(0o777)
    open_up(tmp_path)
    file = tmp_path / "precious"
    file.write_text("precious")
    file.chmod(0o666)
    return file


def test_node_commands_never_run_as_root(rescue, emulator):
    status, out, _ = rescue("awk '{ print $1 }' /proc/self/status; cat /proc/self/status; id -u")
    assert (status, out) == (0, "0\n")  # on the node it is root; the host's process list is closed to it
    directory = emulator.directory(NODE)
    rescue("echo x >$LAB_NODE/tmp/mine")
    assert (directory / "tmp" / "mine").stat().st_uid == (UNPRIVILEGED_ID if ROOT else os.geteuid())


def test_the_path_is_the_shim_folder_alone(rescue, emulator):
    _, out, _ = rescue("echo $PATH; env | cut -d= -f1 | sort | tr '\\n' ' '")
    path, names = out.splitlines()
    assert Path(path) == emulator.directory(NODE).parents[1] / "shims"
    assert set(names.split()) <= {
        *(
            "HOME",
            "LANG",
            "LC_ALL",
            "LAB_NODE",
            "LOGNAME",
            "PATH",
            "PWD",
            "SHELL",
            "TMPDIR",
            "USER",
            "OLDPWD",
            "SHLVL",
            "_",
        ),
    }


@pytest.mark.parametrize(
    "script",
    [
        "dd if=/dev/zero of=/dev/sda bs=1M count=1",
        "/bin/dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=notrunc",
        "dd if=/dev/vda of=/dev/null count=1",
        "/bin/cat /dev/vda",
        "/bin/dd if=/dev/vda of=copy count=1",
        "echo x >/dev/sda",
        "/sbin/reboot -f",
        "/usr/sbin/reboot --help",
        "/bin/systemctl --version",
        "/usr/bin/systemctl reboot",
        "/usr/sbin/shutdown -c",
        "/usr/bin/python3 -c 'print(1)'",
        "/usr/sbin/sgdisk -Z /dev/vda",
        "sgdisk -Z /dev/vda",
        "mkfs.vfat /dev/vda1",
        "/bin/mount -t tmpfs none /mnt",
        "mount /dev/vda1 /mnt",
        "nvme format /dev/nvme0n1 -s 1",
        "blkdiscard -f /dev/vda",
        "wipefs -a /dev/vda",
        "hdparm --user-master u --security-erase p /dev/sda",
        "echo x >/etc/motd",
        "echo x >/tmp/chapek-lab-was-here",
        "/bin/cat /etc/shadow",
        "kill -9 1",
        pytest.param(f"kill -0 {os.getpid()}", id="kill -0 the process of this test"),
        "curl -fsS http://192.0.2.1/",
        "curl -fsS https://127.0.0.1/",
        "mkdir /root/x",
    ],
)
def test_a_script_that_reaches_outside_fails_and_harms_nothing(rescue, script):
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    status, _, err = rescue(script)
    assert status != 0, script
    assert err, script
    assert Path("/proc/sys/kernel/random/boot_id").read_text() == boot
    assert not Path("/tmp/chapek-lab-was-here").exists()


@pytest.mark.parametrize("tool", ["rm -rf", "/bin/rm -rf", "truncate -s 0", "/usr/bin/truncate -s 0"])
def test_outside_files_open_to_everybody_survive(rescue, emulator, marker, tool):
    if not prepare(shims=emulator.directory(NODE)).fenced:
        pytest.skip("this kernel has no Landlock")
    rescue(f"{tool} {marker.parent} {marker} {Path.home()}/.profile")
    assert marker.read_text() == "precious"


def test_a_link_planted_by_a_node_leads_the_lab_nowhere(emulator, marker):
    """The lab writes authorized_keys at the next boot; a link in its way must not make it write elsewhere."""
    emulator.platform.reset()
    with emulator.login(NODE, host_key=emulator.boot_rescue(NODE)) as client:
        emulator.sh(client, f"cd; rm -rf .ssh; ln -s {marker.parent} .ssh; ln -s {marker} link; rm -rf $TMPDIR/*")
    emulator.boot_rescue(NODE)
    emulator.log_out()
    assert marker.read_text() == "precious"
    assert sorted(path.name for path in marker.parent.iterdir()) == ["precious"]


def test_reboot_and_poweroff_by_name_reach_the_emulated_power_alone(lab):
    with lab.login(NODE, host_key=lab.boot_rescue(NODE)) as client:
        lab.sh(client, "poweroff")
    lab.until(NODE, "off")


def test_power_off_ends_what_runs_on_the_node(lab):
    with lab.login(NODE, host_key=lab.boot_rescue(NODE)) as client:
        _, stdout, _ = client.exec_command("echo started; sleep 300")
        assert stdout.readline() == "started\n"
        lab.redfish(NODE).get_system("/redfish/v1/Systems/1").reset_system(sushy.ResetType.FORCE_OFF)
        lab.until(NODE, "off")
        assert stdout.channel.recv_exit_status() == -1
    listing = subprocess.run(["pgrep", "-f", "^sleep 300$"], capture_output=True, text=True, check=False)
    assert listing.stdout == ""


def test_every_listener_is_on_loopback(emulator):
    inodes = set()
    for entry in Path(f"/proc/{emulator.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # files come and go while we look
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = 0
    for table, listening in (("tcp", "0A"), ("udp", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == listening:
                found += 1
                assert socket.inet_ntoa(bytes.fromhex(fields[1][:8])[::-1]).startswith("127."), line
    assert found >= len(emulator.rack.nodes)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "localhost", ""])  # noqa: S104 - must be refused
def test_an_address_beyond_loopback_is_refused(address):
    with pytest.raises(RackError, match="loopback"):
        require_loopback(address=address, what="node")


def test_a_closed_directory_on_the_way_is_found(tmp_path):
    closed = tmp_path / "closed"
    (closed / "state").mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "state").chmod(0o755)
    assert unreachable_parent(path=closed / "state", uid=UNPRIVILEGED_ID) is not None
    assert unreachable_parent(path=Path("/usr/bin"), uid=UNPRIVILEGED_ID) is None


@pytest.mark.skipif(not ROOT, reason="becoming another user needs root")
def test_a_lab_started_by_an_ordinary_user_is_fenced_too(tmp_path):
    """The same fence without any right to change user: a helper process gives root up first, then plays the lab."""
    home = Path(shutil.copytree(Path(__file__).parents[2] / "lab", tmp_path / "src" / "lab")).parent
    open_up(tmp_path)
    (tmp_path / "work").mkdir()
    precious = tmp_path / "work" / "precious"
    precious.write_text("precious")
    for path in (tmp_path / "work", precious):
        os.chown(path, UNPRIVILEGED_ID - 1, UNPRIVILEGED_ID - 1)
    program = f"""
import asyncio, os, sys, concurrent.futures.thread
sys.path.insert(0, {str(home)!r})
from pathlib import Path
from lab import shims
from lab.sandbox import prepare
from lab.shell import NodeShell
os.setgroups([]); os.setgid({UNPRIVILEGED_ID - 1}); os.setuid({UNPRIVILEGED_ID - 1})
work = Path({str(tmp_path / "work")!r})
sandbox = prepare(shims=work / "shims")
assert sandbox.uid is None
shims.install(target=work / "shims", tools=sandbox.tools)
node = work / "node"; (node / "tmp").mkdir(parents=True)
shell = NodeShell(sandbox=sandbox, node_dir=node, largest_file_bytes=10**9)
async def main():
    status, out = await shell.run(script="/bin/rm -rf {precious}; echo ok >inside; /sbin/reboot; cat inside")
    print(status, out, sandbox.fenced)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "0 b'ok\\n' True\n" or " False" in done.stdout, done.stderr
    if " True" in done.stdout:
        assert precious.read_text() == "precious"


def test_a_command_that_floods_the_disk_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.shell.WATCH_EVERY_S", 0.05)
    monkeypatch.setattr("lab.shell.DISK_QUOTA_BYTES", 1_000_000)
    shell = local_shell(tmp_path)
    status, _ = asyncio.run(shell.run(script="while :; do head -c 300000 /dev/zero >>flood; done"))
    assert status == -9


def open_up(path: Path) -> None:
    """Let another user enter pytest's own directories, which are closed by default."""
    for each in (path, *path.parents):
        if each.name.startswith(("pytest-", "popen-", "test_")):
            each.chmod(each.stat().st_mode | 0o055)


def local_shell(tmp_path: Path) -> NodeShell:
    open_up(tmp_path)
    sandbox = prepare(shims=tmp_path / "shims")
    shims.install(target=tmp_path / "shims", tools=sandbox.tools)
    node = tmp_path / "node"
    (node / "tmp").mkdir(parents=True)
    if sandbox.uid is not None:
        os.chown(node, sandbox.uid, sandbox.gid)
        os.chown(node / "tmp", sandbox.uid, sandbox.gid)
    return NodeShell(sandbox=sandbox, node_dir=node, largest_file_bytes=10**9)
