"""A whole life of a reservation on real processes; afterwards no secret is anywhere but where it belongs.

Looked through: logs, every command that Redis was sent, what it keeps, a dump of the database, command lines of all
processes and the environment of children during the run, every answer of API, portal and admin, audit exports.
"""

import base64
import binascii
import json
import re
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
import redis

from embedded.client import Client, wait_for
from embedded.stack import Stack
from tests.conftest import new_public_key

pytestmark = pytest.mark.processes

TELL_SECRETS = """
import json
from inventory.models import BmcEndpoint
print(json.dumps({f"BMC password of {bmc}": bmc.password() for bmc in BmcEndpoint.objects.all()}))
"""
# Whatever key it is: OpenSSH's and PEM's own marks, and one-time tokens of nodes in the paths that bear them.
PATTERNS = {
    "a private key": re.compile(rb"PRIVATE KEY-----|openssh-key-v1|b3BlbnNzaC1rZXktdjE|6f70656e7373682d6b65792d7631"),
    "a node's token": re.compile(rb"/(?:boot|images)/[A-Za-z0-9_-]{43}"),
}


class Search:
    """Collects where a secret was found; never repeats the secret."""

    def __init__(self) -> None:
        self.secrets: dict[str, tuple[bytes, ...]] = {}
        self.findings: set[str] = set()
        self.places = 0
        self.bytes = 0

    def know(self, name: str, value: str | bytes) -> None:
        """The value as it is, and as it would look in hexadecimal, base64 or a URL."""
        raw = value.encode() if isinstance(value, str) else value
        assert len(raw) >= 8, f"{name} is too short to be looked for"
        core = base64.b64encode(raw).rstrip(b"=")[:-1]
        self.secrets[name] = (raw, binascii.hexlify(raw), core, quote(raw, safe="").encode())

    def look(self, place: str, content: bytes, *, allow: tuple[str, ...] = ()) -> None:
        self.places += 1
        self.bytes += len(content)
        for name, forms in self.secrets.items():
            if name not in allow and any(form in content for form in forms):
                self.findings.add(f"{name} in {place}")
        for name, pattern in PATTERNS.items():
            if name not in allow and pattern.search(content):
                self.findings.add(f"{name} in {place}")


class Watch(threading.Thread):
    """What can be seen only while it happens: commands to Redis, and processes."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        assert stack.redis is not None
        self.roots = {stack.pid(name): name for name in stack.names}
        self.client = redis.Redis.from_url(stack.redis.url)
        self.commands = bytearray()
        self.processes: dict[int, tuple[str, bytes, bytes]] = {}
        self.over = threading.Event()
        self.listener = threading.Thread(target=self.listen, daemon=True)

    def run(self) -> None:
        self.listener.start()
        while not self.over.wait(0.02):
            self.see_processes()

    def listen(self) -> None:
        options = self.client.connection_pool.connection_kwargs
        with socket.create_connection((options["host"], options["port"]), timeout=0.5) as wire:
            wire.sendall(f"AUTH {options['password']}\r\nMONITOR\r\n".encode())
            while not self.over.is_set():
                try:
                    self.commands += wire.recv(65536)
                except TimeoutError:
                    continue

    def see_processes(self) -> None:
        parents: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    stat = (folder / "stat").read_text(errors="replace")
                    parents[int(folder.name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
                except OSError:
                    continue
        for pid in set(parents) - set(self.processes):
            root = self.root_of(pid, parents)
            if not root:
                continue
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                environment = b"" if pid in self.roots else Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            self.processes[pid] = (root, command, environment)

    def root_of(self, pid: int, parents: dict[int, int]) -> str:
        """Which program of the stack it descends from; empty for strangers."""
        while pid in parents:
            if pid in self.roots:
                return self.roots[pid]
            pid = parents[pid]
        return ""

    def end(self) -> None:
        self.over.set()
        self.join(10)
        self.listener.join(10)


@pytest.fixture
def watch(stack: Stack) -> Iterator[Watch]:
    watching = Watch(stack)
    watching.start()
    yield watching
    watching.end()


@pytest.mark.usefixtures("clean_nodes")
def test_no_secret_is_anywhere_but_where_it_belongs(stack: Stack, tenant: Client, watch: Watch) -> None:
    search = Search()
    marker = f"user-data-marker-{uuid.uuid4().hex}"
    operator = signed_in(stack, "operator")
    know_all(search, stack, tenant=tenant, operator=operator, marker=marker)

    reservation = live_through(tenant, marker)
    watch.end()

    assert b"PUBLISH" in watch.commands.upper()
    assert b"run_job" in watch.commands
    assert len(watch.processes) > len(watch.roots), "no child of a process was ever seen"
    search.look("the commands to Redis", bytes(watch.commands))
    for root, command, environment in watch.processes.values():
        program = command.split(b"\0")[0].decode(errors="replace").rpartition("/")[2] or "a process"
        # What runs below the rack runs on a node, in the rescue system: there its own tokens belong.
        search.look(f"{root}'s {program}", command, allow=("a node's token",) if root == "lab" else ())
        if root != "lab" and program == "ipmitool":
            search.look(f"the environment of {root}'s {program}", environment, allow=bmc_passwords(search))
    look_at_redis(search, watch)
    look_at_logs(search, stack)
    look_at_database(search, stack)
    look_at_answers(search, stack, tenant=tenant, operator=operator, reservation=reservation)

    assert search.findings == set()
    assert search.places > 100
    assert search.bytes > 500_000


def signed_in(stack: Stack, who: str) -> Client:
    client = Client(url=stack.url)
    client.log_in(email=stack.logins[who].email, password=stack.logins[who].password)
    return client


def bmc_passwords(search: Search) -> tuple[str, ...]:
    return tuple(name for name in search.secrets if name.startswith("BMC password"))


def know_all(search: Search, stack: Stack, *, tenant: Client, operator: Client, marker: str) -> None:
    told = stack.manage("shell", "-v", "0", "-c", TELL_SECRETS).stdout
    for name, value in json.loads(told.strip().splitlines()[-1]).items():
        search.know(name, value)
    keyring = json.loads((stack.state_dir / "keyring.json").read_text())
    for name, value in keyring["keys"].items():
        search.know(f"keyring {name}", base64.b64decode(value))
    signing = (stack.state_dir / "signing_key.pem").read_text()
    search.know("the signing key", "".join(signing.splitlines()[1:-1]))
    search.know("the secret key", (stack.state_dir / "secret_key").read_text().strip())
    search.know("Redis' password", (stack.state_dir / "redis" / "password").read_text())
    for who in ("tenant", "operator"):
        search.know(f"the {who}'s password", stack.logins[who].password)
    search.know("user data", marker)
    search.know("an API key's secret", tenant.api_key.split("_", 2)[2])
    search.know("the tenant's session", tenant.session.cookies["sessionid"])
    search.know("the operator's session", operator.session.cookies["sessionid"])


def live_through(tenant: Client, marker: str) -> str:
    """Key, quote, deployment with user data, power, release, erase: everything that handles a secret."""
    key = tenant.call("POST", "/ssh-keys", json={"name": marker[-20:], "public_key": new_public_key()})["id"]
    offer = max(tenant.call("GET", "/catalogue")["stock"], key=lambda line: line["free_now"])
    asked = {"node_type": offer["node_type"], "site": offer["site"], "node_count": min(2, offer["free_now"])}
    body = {
        "quote": tenant.call("POST", "/quotes", json=asked)["id"],
        "name": "leaks",
        "image": "debian-12",
        "ssh_keys": [key],
        "user_data": f"#cloud-config\n# {marker}\nruncmd:\n  - [echo, {marker}]\n",
    }
    made: str = tenant.call("POST", "/reservations", key=uuid.uuid4().hex, json=body)["id"]
    again = {**body, "user_data": f"#cloud-config\n{marker}: [\n"}
    assert tenant.raw("POST", "/reservations", key=uuid.uuid4().hex, json=again).status_code == 400
    wait_for_state(tenant, made, "active")
    tenant.call("POST", f"/reservations/{made}/actions", key=uuid.uuid4().hex, json={"action": "reboot"})
    wait_for(lambda: True if all_done(tenant, made) else None, timeout_s=60, what="the reboot to be done", every_s=0.5)
    tenant.call("POST", f"/reservations/{made}/actions", key=uuid.uuid4().hex, json={"action": "release"})
    wait_for_state(tenant, made, "ended")
    return made


def all_done(tenant: Client, ref: str) -> bool:
    return all(job["state"] == "done" for job in tenant.call("GET", f"/reservations/{ref}/progress")["jobs"])


def wait_for_state(tenant: Client, ref: str, state: str) -> None:
    def look() -> bool | None:
        seen = tenant.call("GET", f"/reservations/{ref}")["state"]
        assert seen != "failed"
        return True if seen == state else None

    wait_for(look, timeout_s=120, what=f"the reservation to be {state}", every_s=0.5)


def look_at_redis(search: Search, watch: Watch) -> None:
    client = watch.client
    readers = {
        b"string": lambda key: [client.get(key)],
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": lambda key: [item for pair in client.hgetall(key).items() for item in pair],
        b"set": lambda key: list(client.smembers(key)),
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    for key in client.scan_iter():
        for value in [key, *readers[client.type(key)](key)]:
            search.look(f"Redis, {key.decode(errors='replace')[:40]}", value or b"")


def look_at_logs(search: Search, stack: Stack) -> None:
    for path in sorted((stack.state_dir / "log").glob("*.log")):
        search.look(path.name, path.read_bytes())


def look_at_database(search: Search, stack: Stack) -> None:
    """A dump as text, where binary columns are hexadecimal. Django keeps session ids as they are."""
    server = stack.postgres
    assert server is not None
    url = stack.environment["CHAPEK_DATABASE_URL"]
    program = Path(f"/proc/{server.pid}/exe").resolve().with_name("pg_dump")
    assert program.exists()
    dump = subprocess.run(
        [str(program), "--no-owner", "--dbname", url], capture_output=True, check=True, timeout=120
    ).stdout
    assert b"provisioning_job" in dump
    search.look("a dump of the database", dump, allow=("the tenant's session", "the operator's session"))


def look_at_answers(search: Search, stack: Stack, *, tenant: Client, operator: Client, reservation: str) -> None:
    one = f"/reservations/{reservation}"
    api = [
        "/account", "/projects", "/ssh-keys", "/api-keys", "/reservations", one, f"{one}/progress", f"{one}/connect",
        f"{one}/certificates", f"{one}/events", f"{one}/audit", "/invoices", "/usage", "/audit/export", "/audit/key",
        "/openapi.json", "/nothing", "/reservations/res_none",
    ]  # fmt: skip
    for path in api:
        search.look(f"API {path}", answer_of(tenant.raw("GET", path)))
    for path in ("/home/", f"{one}/", f"{one}/audit.json", "/keys/", "/billing/", "/account/", "/team/", "/reserve/"):
        search.look(f"page {path}", answer_of(tenant.session.get(urljoin(stack.url, path), timeout=30)))
    seen: set[str] = set()
    waiting = ["/admin/"]
    while waiting:
        path = waiting.pop()
        kind = re.sub(r"/\d+/", "/N/", path)
        if kind in seen or path.startswith("/admin/logout"):
            continue
        seen.add(kind)
        page = operator.session.get(urljoin(stack.url, path), timeout=30)
        assert page.status_code == 200, (path, page.status_code)
        search.look(f"admin {kind}", answer_of(page))
        waiting += re.findall(r'href="(/admin/[a-z_]+/[a-z_]+/(?:\d+/change/|add/)?)"', page.text)
    assert len(seen) > 25, seen


def answer_of(response: object) -> bytes:
    """Headers and body; what sets a cookie is how a session is told."""
    headers = [f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "set-cookie"]  # type: ignore[attr-defined]  # requests'
    return "\n".join(headers).encode() + b"\n\n" + response.content  # type: ignore[attr-defined]  # likewise


def test_the_search_would_find_them() -> None:
    """The test of the test: every form of a secret is found, and what is allowed is not."""
    search = Search()
    search.know("it", "correct-horse")
    for content in (b"x correct-horse y", binascii.hexlify(b"correct-horse"), base64.b64encode(b"correct-horse")):
        search.findings.clear()
        search.look("there", content)
        assert search.findings == {"it in there"}
    search.findings.clear()
    search.look("there", b"correct-horse", allow=("it",))
    search.look("there", b"/boot/" + b"x" * 43)
    search.look("here", b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert search.findings == {"a node's token in there", "a private key in here"}
