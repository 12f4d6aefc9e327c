"""The whole journey over HTTP on the real processes, from a stranger's sign-up to an audit log checked offline.

Real PostgreSQL, Redis, web, Celery worker and beat; the rack is emulated but speaks Redfish, iPXE's HTTP and SSH; the
tenant's way in is the system's own ``ssh`` with strict host key checking.
"""

import json
import shlex
import subprocess
import sys
import uuid
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from embedded.client import Client, ClientError, wait_for
from embedded.stack import Stack

pytestmark = pytest.mark.processes
CENT = Decimal("0.01")
PASSWORD = "correct-horse-battery-staple"


def test_from_sign_up_to_a_verified_audit_log(stack: Stack, visitor: Client, clean_nodes: int, tmp_path: Path) -> None:
    offer = see_stock_and_price(visitor, expected_nodes=clean_nodes)
    person = sign_up(stack)
    identity = add_ssh_key(person, tmp_path)
    quote = ask_for_a_quote(person, offer)
    reservation = reserve(person, quote, key=person.call("GET", "/ssh-keys")["results"][0]["id"])
    watch_it_deploy(person, reservation["id"])
    log_in_by_ssh(person, reservation["id"], identity, tmp_path)
    use_the_power_button(person, reservation["id"])
    ended = release(person, reservation["id"])
    check_erase_evidence(person, ended["id"])
    check_the_invoice(stack, person, ended, rate=Decimal(offer["eur_per_gpu_hour"]), gpus=offer["gpu_count"])
    check_the_audit_log(person, ended["id"], tmp_path)


def see_stock_and_price(visitor: Client, *, expected_nodes: int) -> dict[str, object]:
    """A visitor without log-in sees types, live stock by site and the price per GPU-hour."""
    catalogue = visitor.call("GET", "/catalogue")
    lines = catalogue["stock"]
    assert sum(line["free_now"] for line in lines) == expected_nodes
    assert all(Decimal(line["eur_per_gpu_hour"]) > 0 for line in lines)
    front = visitor.page("/")
    for line in lines:
        assert line["site_name"] in front
    return max(lines, key=lambda line: line["free_now"])


def sign_up(stack: Stack) -> Client:
    """E-mail confirmed by the link in the mail, organisation entered, terms accepted, an API key made."""
    person = Client(url=stack.url)
    email = f"ada-{uuid.uuid4().hex[:8]}@tenant.example"
    with pytest.raises(ClientError, match="refused"):
        person.log_in(email=email, password=PASSWORD)
    person.sign_up(email=email, password=PASSWORD)
    person.make_api_key(name="journey", scopes=["read", "write", "billing"])
    account = person.call("GET", "/account")
    assert account["tenant"]["legal_name"] == "Analytical Engines s.r.o."
    return person


def add_ssh_key(person: Client, folder: Path) -> Path:
    """A key of the system's own ssh-keygen is taken; a short RSA key and garbage are refused with the reason."""
    identity = folder / "id_ed25519"
    keygen(identity, "ed25519")
    keygen(folder / "short", "rsa", "2048")
    refused = person.raw("POST", "/ssh-keys", json={"name": "short", "public_key": (folder / "short.pub").read_text()})
    assert refused.status_code == 400
    assert "3072" in refused.text
    assert person.raw("POST", "/ssh-keys", json={"name": "junk", "public_key": "ssh-rsa AAAA"}).status_code == 400
    added = person.call(
        "POST", "/ssh-keys", json={"name": "laptop", "public_key": identity.with_suffix(".pub").read_text()}
    )
    assert added["algorithm"] == "ssh-ed25519"
    return identity


def keygen(path: Path, kind: str, bits: str = "") -> None:
    size = ["-b", bits] if bits else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-f", str(path)], check=True, timeout=60)


def ask_for_a_quote(person: Client, offer: dict[str, object]) -> dict[str, object]:
    """The quote says hourly price, tax, cap and what happens at the end, and where and why."""
    quote = person.call(
        "POST",
        "/quotes",
        json={"node_type": offer["node_type"], "site": offer["site"], "node_count": 1, "max_spend": "500.00"},
    )
    hourly = Decimal(str(offer["eur_per_gpu_hour"])) * int(str(offer["gpu_count"]))
    assert Decimal(quote["estimate"]["hourly_net"]) == hourly.quantize(CENT, ROUND_HALF_UP)
    assert Decimal(quote["estimate"]["tax_rate"]) == Decimal(21)
    assert Decimal(quote["max_spend"]) == Decimal(500)
    assert quote["at_the_end"]
    assert quote["decision"]["chosen"]["site"] == offer["site"]
    return quote


def reserve(person: Client, quote: dict[str, object], *, key: str) -> dict[str, object]:
    """The same request sent twice with one idempotency key makes one reservation."""
    body = {"quote": quote["id"], "name": "journey", "image": "debian-12", "ssh_keys": [key]}
    idempotency_key = uuid.uuid4().hex
    made = person.call("POST", "/reservations", key=idempotency_key, json=body)
    again = person.call("POST", "/reservations", key=idempotency_key, json=body)
    assert again["id"] == made["id"]
    assert len(person.call("GET", "/reservations")["results"]) == 1
    return made


def watch_it_deploy(person: Client, ref: str) -> None:
    """The event stream shows every step until the node is handed over."""
    steps: dict[str, str] = {}
    for event in person.stream(f"/reservations/{ref}/events/stream", timeout_s=90):
        for job in event.get("jobs", []):
            steps.update({step["name"]: step["state"] for step in job["steps"] if job["kind"] == "deploy"})
        if event["state"] not in {"scheduled", "deploying"}:
            assert event["state"] == "active", event
            break
    assert len(steps) >= 6
    assert set(steps.values()) == {"done"}


def log_in_by_ssh(person: Client, ref: str, identity: Path, folder: Path) -> None:
    """The printed command and known_hosts line, used as printed, with the host key checked strictly."""
    connect = person.call("GET", f"/reservations/{ref}/connect")["nodes"][0]
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(f"{line}\n" for line in connect["known_hosts"]))
    printed = shlex.split(connect["ssh_command"])
    options = [
        *("-i", str(identity), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
        *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known_hosts}"),
        *("-o", "GlobalKnownHostsFile=/dev/null", "-F", "/dev/null"),
    ]
    done = subprocess.run(
        [printed[0], *options, *printed[1:], "nvidia-smi", "-L"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    gpus = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    assert len(gpus) == 8
    assert "H200" in gpus[0]
    # Another key is refused by the same node.
    keygen(folder / "stranger", "ed25519")
    options[1] = str(folder / "stranger")
    refused = subprocess.run(
        [printed[0], *options, *printed[1:], "true"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def use_the_power_button(person: Client, ref: str) -> None:
    """Off, then on again; both are seen in the activity log, with who and when. Cost grows meanwhile."""
    before = Decimal(person.call("GET", f"/reservations/{ref}")["cost"]["net"])
    for action, power in (("power_off", "off"), ("power_on", "on")):
        person.call("POST", f"/reservations/{ref}/actions", key=uuid.uuid4().hex, json={"action": action})
        wait_for(
            lambda wanted=power: (
                True if person.call("GET", f"/reservations/{ref}")["nodes"][0]["power"] == wanted else None
            ),
            timeout_s=30,
            what=f"the power to be {power}",
        )
    wait_for(
        lambda: True if Decimal(person.call("GET", f"/reservations/{ref}")["cost"]["net"]) > before else None,
        timeout_s=15,
        what="the cost to grow",
    )


def release(person: Client, ref: str) -> dict[str, object]:
    """Metering stops at once; the node is erased and checked, and sellable again."""
    person.call("POST", f"/reservations/{ref}/actions", key=uuid.uuid4().hex, json={"action": "release"})
    cost = person.call("GET", f"/reservations/{ref}")["cost"]

    def look() -> dict[str, object] | None:
        seen = person.call("GET", f"/reservations/{ref}")
        return seen if seen["state"] == "ended" else None

    ended = wait_for(look, timeout_s=90, what="the node to be erased")
    assert ended["cost"] == cost, "nothing is added after the release"
    assert ended["cost"]["hourly_net"] in {"0", "0.00"}
    return ended


def check_erase_evidence(person: Client, ref: str) -> None:
    certificates = person.call("GET", f"/reservations/{ref}/certificates")
    drives = certificates["erase"]
    assert drives
    assert all(drive["method"] and drive["drive_serial"] and drive["samples"] > 0 for drive in drives)
    assert {record["passed"] for record in certificates["health"]} == {True}


def check_the_invoice(stack: Stack, person: Client, ended: dict[str, object], *, rate: Decimal, gpus: int) -> None:
    """The draft equals seconds x price to the cent; the operator issues it in the admin and it gets its number."""
    invoices = [row for row in person.call("GET", "/invoices")["results"] if row["reservation"] == ended["id"]]
    assert [row["state"] for row in invoices] == ["draft"]
    invoice = person.call("GET", f"/invoices/{invoices[0]['id']}")
    active, released = (utc_seconds(ended[name]) for name in ("active_at", "released_at"))
    assert [line["seconds"] for line in invoice["lines"]] == [released - active]
    net = (rate * gpus * (released - active) / 3600).quantize(CENT, ROUND_HALF_UP)
    tax = (net * Decimal("0.21")).quantize(CENT, ROUND_HALF_UP)
    assert (Decimal(invoice["net"]), Decimal(invoice["tax"]), Decimal(invoice["gross"])) == (net, tax, net + tax)
    operator = Client(url=stack.url)
    login = stack.logins["operator"]
    operator.log_in(email=login.email, password=login.password)
    operator.admin_action("billing", "invoice", search=invoice["id"], action="issue", reason="the month is over")
    issued = person.call("GET", f"/invoices/{invoice['id']}")
    assert issued["state"] in {"issued", "paid"}
    assert issued["number"]
    assert Decimal(issued["gross"]) == net + tax


def utc_seconds(value: object) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(str(value)).timestamp())


def check_the_audit_log(person: Client, ref: str, folder: Path) -> None:
    """One command, without us: the download verifies; one changed letter, and it does not."""
    kinds = [
        event["kind"] for event in person.call("GET", f"/reservations/{ref}/events", params={"limit": 200})["results"]
    ]
    for kind in (
        "reservation.created",
        "reservation.start",
        "reservation.activate",
        "node.deployed",
        "reservation.cleaned",
    ):
        assert kinds.count(kind) == 1, kinds

    def sealed() -> bytes | None:
        answer = person.raw("GET", f"/reservations/{ref}/audit")
        return answer.content if answer.ok else None

    export = folder / "audit.json"
    export.write_bytes(wait_for(sealed, timeout_s=20, what="the audit log to be sealed"))
    verifier = folder / "chapek_verify.py"
    verifier.write_bytes(person.raw("GET", "/audit/verifier").content)
    key = folder / "chapek.vkey"
    key.write_bytes(person.raw("GET", "/audit/key").content)
    command = [sys.executable, "-I", str(verifier), str(export), "--key", str(key)]
    good = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    assert good.returncode == 0, good.stdout + good.stderr
    content = json.loads(export.read_text())
    leaf = content["events"][0]["leaf"]
    content["events"][0]["leaf"] = leaf[:20] + ("A" if leaf[20] != "A" else "B") + leaf[21:]
    export.write_text(json.dumps(content))
    bad = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    assert bad.returncode != 0
