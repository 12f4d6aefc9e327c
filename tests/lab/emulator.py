"""A lab in its own process and a tiny platform, on the loopback prefixes 127.88 (BMC) and 127.89 (SSH)."""

import base64
import json
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paramiko
import sushy

from lab.artefacts import loader
from lab.faults import ask
from lab.rack import Node, Rack

REPOSITORY = Path(__file__).resolve().parents[2]
WAIT_S = 20.0


@dataclass
class Platform:
    """Plays the platform's boot and phone-home addresses. Tokens are paths; every request is kept."""

    directory: Path
    authorized_key: str = ""
    reports: list[dict] = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    report_status: int = 204
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def script(self) -> str:
        key = base64.b64encode(self.authorized_key.encode()).decode()
        return (
            "#!ipxe\n# rescue\n"
            f"kernel {self.url}/artefacts/vmlinuz chapek.report={self.url}/report/t0ken chapek.sshkey={key}"
            " chapek.hostname=rescue-7 console=ttyS0\n"
            "initrd /artefacts/initrd.img\nboot\n"
        )

    def wait(self, things: list, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(things) >= count, WAIT_S), f"{self.requests}"

    def serve(self) -> ThreadingHTTPServer:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments) -> None:
                pass

            def do_GET(self) -> None:
                platform.note(platform.requests, f"GET {self.path}")
                body = platform.scripts.get(self.path)
                if self.path.startswith("/boot/mac/") and body is None:
                    body = "#!ipxe\nchain /boot/t0ken/script.ipxe?mac=${net0/mac}&serial=${serial}\n"
                elif self.path == "/boot/t0ken/ipxe.efi":
                    return self.answer(200, loader())
                elif self.path.startswith(("/boot/t0ken/script.ipxe", "/boot/t0ken/autoexec.ipxe")):
                    body = platform.script()
                if body is not None:
                    return self.answer(200, body.encode())
                file = platform.directory / self.path.rpartition("/")[2]
                if self.path.startswith(("/artefacts/", "/images/")) and file.is_file():
                    return self.answer(200, file.read_bytes())
                return self.answer(404, b"no such file")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                platform.note(platform.requests, f"POST {self.path}")
                if self.path == "/report/t0ken":
                    self.answer(platform.report_status, b"")
                    platform.note(platform.reports, json.loads(body))
                else:
                    self.answer(204, b"")
                    platform.note(platform.calls, dict(urllib.parse.parse_qsl(body.decode())))

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(body)

        server = ThreadingHTTPServer(("127.88.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.88.0.1:{server.server_port}"
        return server

    def note(self, things: list, thing: object) -> None:
        with self.changed:
            things.append(thing)
            self.changed.notify_all()

    def reset(self) -> None:
        for things in (self.reports, self.calls, self.requests, self.scripts):
            things.clear()
        self.report_status = 204


@dataclass
class Emulator:
    """A running `python -m lab.serve` and the hands to work with it."""

    state: Path
    rack: Rack
    process: subprocess.Popen
    platform: Platform
    key: paramiko.PKey
    key_file: Path
    authorized: str
    sessions: list[sushy.auth.SessionAuth] = field(default_factory=list)

    def node(self, name: str) -> Node:
        return next(node for node in self.rack.nodes if node.name == name)

    def status(self, name: str) -> dict:
        return ask(state=self.state, request={"op": "status", "node": name})

    def fault(self, name: str, **faults: float) -> dict:
        return ask(state=self.state, request={"op": "fault", "node": name, "set": faults})

    def until(self, name: str, phase: str) -> dict:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            status = self.status(name)
            if status["phase"] == phase:
                return status
            time.sleep(0.02)
        raise AssertionError(f"{name} is {status['phase']}, not {phase}: {Path(status['console']).read_text()}")

    def directory(self, name: str) -> Path:
        return Path(self.status(name)["directory"])

    def console(self, name: str) -> str:
        return Path(self.status(name)["console"]).read_text()

    def certificate(self, name: str) -> Path:
        return self.state / "bmc" / f"{name}.pem"

    def redfish(self, name: str) -> sushy.Sushy:
        bmc = self.node(name).bmc
        auth = sushy.auth.SessionAuth(bmc.username, bmc.password)
        self.sessions.append(auth)
        return sushy.Sushy(f"https://{bmc.address}:{bmc.port}", auth=auth, verify=str(self.certificate(name)))

    def log_out(self) -> None:
        """sushy would log out at the end of the process, when the lab is gone, and retry for a minute."""
        while self.sessions:
            self.sessions.pop().close()

    def boot_rescue(self, name: str) -> str:
        """Into rescue by Redfish; the host key the node reported."""
        before = len(self.platform.reports)
        ask(state=self.state, request={"op": "power", "node": name, "action": "off"})
        self.until(name, "off")
        root = self.redfish(name)
        system = root.get_system("/redfish/v1/Systems/1")
        system.set_system_boot_options(
            target=sushy.BootSource.UEFI_HTTP,
            enabled=sushy.BootSourceOverrideEnabled.ONCE,
            mode=sushy.BootSourceOverrideMode.UEFI,
            http_boot_uri=f"{self.platform.url}/boot/t0ken/ipxe.efi",
        )
        system.reset_system(sushy.ResetType.ON)
        self.platform.wait(self.platform.reports, before + 1)
        return self.platform.reports[-1]["host_keys"][0]

    def login(
        self, name: str, *, user: str = "root", host_key: str, key: paramiko.PKey | None = None
    ) -> paramiko.SSHClient:
        ssh = self.node(name).ssh
        client = paramiko.SSHClient()
        kind, data = host_key.split()[:2]
        known = paramiko.Ed25519Key(data=base64.b64decode(data))
        client.get_host_keys().add(f"[{ssh.address}]:{ssh.port}", kind, known)
        client.connect(
            ssh.address,
            port=ssh.port,
            username=user,
            pkey=key or self.key,
            allow_agent=False,
            look_for_keys=False,
            timeout=10,
        )
        return client

    def sh(self, client: paramiko.SSHClient, script: str, *, command: str = "sh -s") -> tuple[int, str, str]:
        """Run a script by `sh -s`; status, stdout, stderr."""
        stdin, stdout, stderr = client.exec_command(command, timeout=30)
        stdin.write(script)
        stdin.channel.shutdown_write()
        out, err = stdout.read().decode(), stderr.read().decode()
        return stdout.channel.recv_exit_status(), out, err


def deploy_script(*, url: str, sha256: str, seed: dict[str, str]) -> str:
    """What the platform sends, in short: stream, verify, write, seed."""
    files = "".join(f'printf %s {shlex.quote(text)} >"$T/{name}"\n' for name, text in seed.items())
    return f"""set -eu
DISK=$(lsblk -ndo PATH | head -1)
T=$(mktemp -d)
mkfifo "$T/pipe"
sha256sum <"$T/pipe" >"$T/sum" &
curl -fsS {shlex.quote(url)} | tee "$T/pipe" | gzip -dc | dd of="$DISK" bs=1M conv=fsync 2>/dev/null
wait
[ "$(cut -c1-64 "$T/sum")" = {sha256} ] || {{ echo "checksum" >&2; exit 3; }}
sgdisk -e "$DISK" >/dev/null
sgdisk -n 0:-64M:0 -c 0:cidata -t 0:0700 "$DISK" >/dev/null
partprobe "$DISK"
N=$(sgdisk -p "$DISK" | awk '$1 ~ /^[0-9]+$/ {{ n = $1 }} END {{ print n }}')
mkfs.vfat -n CIDATA "${{DISK}}p$N" >/dev/null
{files}mcopy -i "${{DISK}}p$N" "$T/meta-data" "$T/user-data" "$T/vendor-data" ::
sync
echo deployed "$DISK" "$N"
"""


def start_lab(state: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.serve", "--rack", state / "rack.json", "--state", state],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("lab ready:"), line
    return process


def stop_lab(process: subprocess.Popen) -> None:
    process.terminate()
    assert process.wait(timeout=20) == 0


def remove_run_directory(state: Path) -> None:
    """A lab of root whose state directory is closed to the nodes' user keeps their directories elsewhere."""
    run = json.loads((state / "place.json").read_text())["run"]
    shutil.rmtree(run)
