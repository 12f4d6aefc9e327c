"""What runs on an emulated node: the rescue system from the network, or the operating system on its disk."""

import asyncio
import contextlib
import json
import os
import shlex
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import asyncssh

from lab.boot import BootError, Firmware, Kernel, require_http_loopback
from lab.install import install_script, public_key, stored_key
from lab.machine import RESCUE, STARTING, SYSTEM, Machine
from lab.seed import ImageHeader, Seed, read_header, read_plain, read_seed
from lab.shell import NodeShell
from lab.ssh import NodeSsh

REPORT_TRIES = 8
PHONE_HOME_TRIES = 10
LONGEST_PAUSE_S = 3.0
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


class EmulatedSystem:
    """The Software of one Machine. All files that node commands can reach are written by `shell`, in the sandbox."""

    def __init__(self, *, machine: Machine, shell: NodeShell, http: aiohttp.ClientSession) -> None:
        self._machine = machine
        self._node = machine.node
        self._shell = shell
        self._http = http
        self._ssh: NodeSsh | None = None
        self._button: int | None = None
        self._root = shell.node_dir

    async def boot_network(self, *, url: str, uefi: bool) -> bool:
        firmware = Firmware(http=self._http, variables=self._variables(), say=self._say)
        try:
            kernel = await (firmware.http_boot(url=url) if uefi else firmware.boot(url=url))
            if kernel is None:
                return False
            key = kernel.authorized_key
        except BootError as error:
            self._say(f"iPXE: {error}")
            return False
        self._machine.enter(STARTING)
        self._say("Linux version 6.1.0-28-amd64, rescue system starting")
        await asyncio.sleep(self._machine.timing.rescue_s)
        await self._start_rescue(kernel, key)
        return True

    async def boot_disk(self) -> bool:
        for drive in self._node.drives:
            disk = self._root / "disks" / drive.name
            header = read_header(disk)
            if header is not None:
                self._machine.enter(STARTING)
                self._say(f"booting {header.os} from {drive.name}")
                await asyncio.sleep(self._machine.timing.os_s)
                await self._start_system(disk, header)
                return True
        return False

    async def stop(self) -> None:
        if self._ssh is not None:
            await self._ssh.stop()
            self._ssh = None
        if self._button is not None:
            asyncio.get_running_loop().remove_reader(self._button)
            os.close(self._button)
            self._button = None
        self._shell.kill_all()

    # Rescue

    async def _start_rescue(self, kernel: Kernel, key: str) -> None:
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        script = (
            "for d in root tmp; do chmod -R u+rwX $d; find $d -mindepth 1 -delete; done\n"
            "mkdir -m 700 root/.ssh && umask 077\n"
            f"printf '%s\\n' {shlex.quote(key)} >root/.ssh/authorized_keys\n"
        )
        await self._write(script)
        self._identify(kernel.hostname or "rescue", kernel="")
        await self._listen(host_key, {"root": self._root / "root"})
        self._machine.enter(RESCUE)
        self._say("rescue system ready")
        if kernel.report_url and not self._machine.faults["no_report"]:
            await self._report(kernel.report_url, host_key)

    async def _report(self, url: str, host_key: asyncssh.SSHKey) -> None:
        body = json.dumps({"mac": self._node.mac, "serial": self._node.serial, "host_keys": [public_key(key=host_key)]})
        status = await self._post(url, body.encode(), "application/json", tries=REPORT_TRIES)
        self._say("report accepted" if status == 204 else f"report refused: {status}")

    # Operating system

    async def _start_system(self, disk: Path, header: ImageHeader) -> None:
        installed = disk.with_name(f"{disk.name}.d")
        seed = await asyncio.to_thread(read_seed, disk)
        known = read_plain(installed / "var" / "instance-id", limit=1024).decode("utf-8", "replace").strip()
        host_key = stored_key(installed=installed)
        homes = {header.default_user: installed / "home" / header.default_user}
        homes |= {name: installed / "home" / name for name in seed.users if name.isidentifier() and name != "root"}
        first = bool(seed.instance_id) and seed.instance_id != known
        if host_key is None or first:
            host_key = asyncssh.generate_private_key("ssh-ed25519", comment=seed.hostname)
            await self._write(
                install_script(drive=disk.name, header=header, seed=seed, homes=homes, key=host_key, first_boot=first)
            )
        self._identify(seed.hostname or header.os, kernel=header.kernel)
        if first:
            self._say(f"cloud-init: new instance {seed.instance_id}, {len(homes)} account(s)")
        await self._listen(host_key, homes)
        self._machine.enter(SYSTEM)
        self._say(f"{header.os} ready, login:")
        if first and seed.phone_home and not self._machine.faults["no_report"]:
            await self._phone_home(seed, seed.phone_home, host_key)

    async def _phone_home(self, seed: Seed, config: Mapping[str, object], host_key: asyncssh.SSHKey) -> None:
        known = {
            "pub_key_ed25519": public_key(key=host_key),
            "instance_id": seed.instance_id,
            "hostname": seed.hostname,
        }
        wanted = config.get("post", "all")
        names = list(known) if wanted == "all" or not isinstance(wanted, list) else [n for n in wanted if n in known]
        url = str(config.get("url", "")).replace("$INSTANCE_ID", seed.instance_id)
        body = urllib.parse.urlencode({name: known[name] for name in names}).encode()
        tries = config.get("tries")
        status = await self._post(
            url,
            body,
            "application/x-www-form-urlencoded",
            tries=min(tries, PHONE_HOME_TRIES) if isinstance(tries, int) else PHONE_HOME_TRIES,
        )
        self._say(f"cloud-init: phone_home: {status}")

    # Shared

    async def _post(self, url: str, body: bytes, kind: str, *, tries: int) -> int:
        """HTTP status of the last answer, 0 when the platform never answered. A 4xx is final."""
        status = 0
        try:
            require_http_loopback(url)
        except BootError as error:
            self._say(str(error))
            return 0
        for attempt in range(max(tries, 1)):
            if attempt:
                await asyncio.sleep(min(0.2 * 2**attempt, LONGEST_PAUSE_S))
            try:
                async with self._http.post(
                    url, data=body, headers={"Content-Type": kind}, timeout=_TIMEOUT, allow_redirects=False
                ) as answer:
                    status = answer.status
                    if status < 500 and status != 429:
                        return status
            except (aiohttp.ClientError, TimeoutError) as error:
                self._say(f"POST failed: {type(error).__name__}")
        return status

    async def _listen(self, host_key: asyncssh.SSHKey, accounts: Mapping[str, Path]) -> None:
        self._open_button()
        if self._machine.faults["ssh_dead"]:
            return
        ssh = NodeSsh(
            address=self._node.ssh.address,
            port=self._node.ssh.port,
            host_key=host_key,
            accounts=accounts,
            shell=self._shell,
            say=self._say,
            ran=lambda seconds: self._machine.journal.protocol("ssh", "command ended", seconds=round(seconds, 3)),
        )
        try:
            await ssh.start()
        except OSError as error:
            self._say(f"sshd: cannot listen on {ssh.address}:{ssh.port}: {error}")
            return
        self._ssh = ssh

    def _open_button(self) -> None:
        """The pipe on which the node's own `reboot` and `poweroff` reach the emulated power rail."""
        path = self._root / "run" / "power"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        path.chmod(0o622)
        # Opened for both ways, so that it never reads as closed between two writers.
        button = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        loop = asyncio.get_running_loop()

        def pressed() -> None:
            with contextlib.suppress(BlockingIOError):
                words = os.read(button, 256).split()
                action = {b"reboot": "reset", b"poweroff": "off"}.get(words[-1] if words else b"")
                if action:
                    self._say(f"systemd: {action} asked for by the system itself")
                    task = loop.create_task(self._machine.power(action))
                    task.add_done_callback(lambda done: done.exception())

        self._button = button
        loop.add_reader(button, pressed)

    def _identify(self, hostname: str, *, kernel: str) -> None:
        """Facts of the running system; this directory belongs to the lab, node commands only read it."""
        (self._root / "hw" / "hostname").write_text(hostname + "\n", encoding="utf-8")
        if kernel:
            (self._root / "hw" / "kernel").write_text(kernel + "\n", encoding="utf-8")
        else:
            (self._root / "hw" / "kernel").unlink(missing_ok=True)

    async def _write(self, script: str) -> None:
        status, _ = await self._shell.run(script='set -e; cd "$LAB_NODE"; exec sh -e -s', data=script.encode())
        if status:
            self._say(f"init: setting up files failed with status {status}")

    def _variables(self) -> dict[str, str]:
        node = self._node
        return {"net0/mac": node.mac, "mac": node.mac, "serial": node.serial, "uuid": str(node.uuid), "platform": "efi"}

    def _say(self, text: str) -> None:
        self._machine.journal.console(text)
