"""The whole journey clicked through, from a stranger's sign-up to evidence checked offline, every page looked at."""

import re
import shlex
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from embedded.stack import Stack
from tests.e2e.conftest import Witness
from tests.e2e.hands import PASSWORD, new_key, run_as_printed, totp, wait_for_state

pytestmark = pytest.mark.e2e


def test_the_journey_in_a_browser(page: Page, witness: Witness, clean_nodes: int, tmp_path: Path) -> None:
    identity = new_key(tmp_path)
    read_the_front_door(page, witness, nodes=clean_nodes)
    email = sign_up(page, witness)
    set_up_the_organisation(page, witness)
    add_keys(page, witness, identity)
    ref = reserve(page, witness)
    watch_the_deployment(page, witness)
    use_the_node(page, witness, identity, tmp_path)
    look_around(page, witness)
    release(page, witness, ref)
    check_the_evidence(page, ref, tmp_path)
    read_the_invoice(page, witness)
    guard_the_account(page, witness, email=email)


def read_the_front_door(page: Page, witness: Witness, *, nodes: int) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Whole GPU nodes")
    counts = page.locator("#stock tbody td.num strong").all_inner_texts()
    assert sum(map(int, counts)) == nodes
    witness.inspect(page, "front")
    for name in ("Terms of service", "Acceptable use policy", "Data-processing agreement"):
        page.goto("/")
        page.get_by_role("contentinfo").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    witness.inspect(page, "legal")
    for path in ("/api/v1/docs/", "/api/v1/problems"):
        page.goto(path)
        witness.inspect(page, path.strip("/").replace("/", "-"), quick=True)


def sign_up(page: Page, witness: Witness) -> str:
    email = f"ada-{uuid.uuid4().hex[:8]}@tenant.example"
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Sign up").click()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_label("Password (again)").fill("short")
    page.get_by_role("main").get_by_role("button", name="Sign up").click()
    expect(page.locator(".errorlist")).to_contain_text("too short")
    witness.inspect(page, "sign-up-refused")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sent you a mail")
    witness.inspect(page, "mail-sent")
    page.get_by_role("link", name="Open local mail").click()
    witness.inspect(page, "mails")
    page.locator("tr", has_text=email).get_by_role("link").click()
    witness.inspect(page, "mail")
    page.get_by_role("link", name="Open the link").click()
    witness.inspect(page, "confirm-address")
    page.get_by_role("button", name="Yes, confirm").click()
    page.wait_for_url("**/accounts/login/**")
    witness.inspect(page, "log-in")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/organisation/")
    return email


def set_up_the_organisation(page: Page, witness: Witness) -> None:
    witness.expect(422, "/organisation/")
    page.get_by_role("button", name="Set up the organisation").click()
    expect(page.locator(".errorlist").first).to_be_visible()
    witness.inspect(page, "organisation-refused")
    page.get_by_label("Legal name").fill("Analytical Engines s.r.o.")
    page.get_by_label("Street and number").fill("Technická 2")
    page.get_by_label("Postal code").fill("166 27")
    page.get_by_label("City").fill("Praha")
    page.get_by_label("Country").select_option("CZ")
    page.get_by_label("E-mail for invoices").fill("invoices@tenant.example")
    for name in ("Terms of service", "Acceptable use", "Data-processing"):
        page.get_by_label(re.compile(f"We accept: {name}")).check()
    page.get_by_role("button", name="Set up the organisation").click()
    page.wait_for_url("**/keys/")
    expect(page.locator("#messages")).to_contain_text("set up")
    witness.inspect(page, "keys-empty")


def add_keys(page: Page, witness: Witness, identity: Path) -> None:
    witness.expect(422, "/keys/ssh/")
    page.get_by_label("Public key").fill("ssh-rsa AAAA")
    page.get_by_role("button", name="Add the key").click()
    expect(page.locator(".errorlist")).to_contain_text("damaged")
    witness.inspect(page, "key-refused")
    page.get_by_label("Public key").fill(identity.with_suffix(".pub").read_text())
    page.get_by_role("button", name="Add the key").click()
    expect(page.locator("#messages")).to_contain_text("is added")
    page.locator("#id_api-name").fill("pipeline")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#api-secret")
    expect(secret).to_have_text(re.compile(r"^ck_[a-z0-9]{10}_\S{43}$"))
    witness.inspect(page, "api-key-made")
    page.locator(".code", has=secret).get_by_role("button").click()
    expect(page.locator("[data-copy-word]").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret.inner_text()
    page.get_by_role("link", name="Revoke pipeline").click()
    witness.inspect(page, "revoke")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("tr", has_text="pipeline")).to_contain_text("Revoked")
    page.goto("/home/")
    expect(page.get_by_text("Nothing runs, nothing costs")).to_be_visible()
    witness.inspect(page, "home-empty")
    page.goto("/reservations/")
    witness.inspect(page, "reservations-empty")


def reserve(page: Page, witness: Witness) -> str:
    page.goto("/reserve/")
    page.get_by_label("Workload").check()
    page.get_by_label("GPU memory needed on a node, GiB").fill("90000")
    page.get_by_label("What for").select_option("inference")
    expect(page.locator("#quote")).to_contain_text("Nothing can serve this request")
    expect(page.locator("#quote")).to_contain_text("too little GPU memory")
    witness.inspect(page, "reserve-refused")
    page.get_by_label("Node type", exact=True).check()
    page.locator("[name=node_type]").first.check()
    page.get_by_label("Cap, net euros").fill("500")
    page.get_by_label("Cap, net euros").press("Tab")
    expect(page.locator("#quote")).to_contain_text("€500.00 net is used")
    witness.inspect(page, "reserve-quote")
    page.get_by_label("Name", exact=False).first.fill("journey")
    page.get_by_role("button", name="Confirm and reserve").click()
    page.wait_for_url("**/reservations/res_*/")
    expect(page.locator("#messages")).to_contain_text("Reserved")
    return page.url.rstrip("/").rpartition("/")[2]


def watch_the_deployment(page: Page, witness: Witness) -> None:
    """Every step is seen on the page that was opened once."""
    witness.inspect(page, "deploying", quick=True)
    wait_for_state(page, "Active")
    expect(page.locator("#ssh-1")).to_be_visible()
    witness.inspect(page, "active")


def use_the_node(page: Page, witness: Witness, identity: Path, folder: Path) -> None:
    done = run_as_printed(page, identity=identity, folder=folder, remote="nvidia-smi -L")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("GPU ") >= 8
    cost = page.locator("#cost .counting")
    before = Decimal(cost.inner_text().replace("€", "").replace(",", ""))
    expect(cost).not_to_have_text(f"€{before:,.2f}", timeout=15_000)
    after = Decimal(cost.inner_text().replace("€", "").replace(",", ""))
    assert after > before
    page.get_by_role("link", name="Power off").click()
    witness.inspect(page, "power")
    page.get_by_role("button", name="Power off").click()
    expect(page.locator("#messages")).to_contain_text("Asked for")
    expect(page.locator("#live")).to_contain_text("Done", timeout=60_000)
    page.get_by_role("link", name="Power on").click()
    page.get_by_role("button", name="Power on").click()
    expect(page.locator("#live")).to_contain_text("Done", timeout=60_000)
    page.get_by_role("link", name="Change the end").click()
    page.get_by_label("At a time").check()
    page.get_by_label("Ends at, UTC").fill("2020-01-01T00:00")
    witness.expect(422, page.url.removeprefix(page.evaluate("location.origin")))
    page.get_by_role("button", name="Move the end").click()
    expect(page.locator(".errorlist")).to_be_visible()
    witness.inspect(page, "extend-refused")
    page.get_by_label("On release").check()
    page.get_by_role("button", name="Move the end").click()
    expect(page.locator("#messages")).to_contain_text("The end is moved")


def look_around(page: Page, witness: Witness) -> None:
    for path in ("/home/", "/reservations/", "/billing/", "/team/", "/account/", "/account/facts/"):
        page.goto(path)
        witness.inspect(page, path.strip("/").replace("/", "-"))
    witness.expect(404, "/reservations/res_unknown/")
    page.goto("/reservations/res_unknown/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing here")
    witness.inspect(page, "not-found")


def release(page: Page, witness: Witness, ref: str) -> None:
    page.goto(f"/reservations/{ref}/")
    page.get_by_role("link", name="Release").click()
    witness.inspect(page, "release")
    page.get_by_role("button", name="Release and erase").click()
    witness.inspect(page, "erasing", quick=True)
    wait_for_state(page, "Ended")
    expect(page.get_by_role("heading", name="Certificates")).to_be_visible()
    expect(page.locator("section", has=page.get_by_role("heading", name="Certificates"))).to_contain_text("erased")
    witness.inspect(page, "ended")


def check_the_evidence(page: Page, ref: str, folder: Path) -> None:
    """Three downloads and the one printed command."""
    page.get_by_text("Take the log away and check it without us").click()
    # The last event is sealed a moment after it happened.
    page.wait_for_timeout(4_000)
    for name in ("The log", "The verifier", "Our key"):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name).click()
        waiting.value.save_as(folder / waiting.value.suggested_filename)
    command = shlex.split(page.locator("#verify-command").inner_text())
    assert command[0] == "python3"
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ref in command[2]


def read_the_invoice(page: Page, witness: Witness) -> None:
    page.goto("/billing/")
    witness.inspect(page, "billing-after")
    page.get_by_role("link", name="Draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Draft invoice")
    witness.inspect(page, "invoice")


def guard_the_account(page: Page, witness: Witness, *, email: str) -> None:
    """An authenticator app is set up, asked for at the next log-in, and its recovery codes are shown."""
    page.goto("/account/")
    page.get_by_role("link", name="E-mail addresses").click()
    witness.inspect(page, "addresses")
    page.goto("/accounts/password/change/")
    witness.inspect(page, "password")
    page.goto("/accounts/2fa/")
    witness.inspect(page, "two-factor-off")
    page.get_by_role("link", name="Set up").click()
    if "reauthenticate" in page.url:
        witness.inspect(page, "is-it-you")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_alt_text("QR code of the secret below")).to_be_visible()
    witness.inspect(page, "authenticator")
    secret = page.get_by_label("Secret, to type in by hand").input_value()
    page.get_by_label("Authenticator code").fill(totp(secret))
    page.get_by_role("button", name="Activate").click()
    page.goto("/accounts/2fa/recovery-codes/")
    witness.inspect(page, "recovery-codes")
    page.goto("/accounts/2fa/")
    witness.inspect(page, "two-factor-on")
    page.get_by_role("button", name="Log out").locator("visible=true").click()
    page.wait_for_url("**/")
    page.goto("/accounts/password/reset/")
    witness.inspect(page, "password-reset")
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Two-Factor")
    witness.inspect(page, "second-factor")


def test_the_operators_staff_are_sent_to_their_desk(page: Page, witness: Witness, stack: Stack) -> None:
    login = stack.logins["operator"]
    witness.expect(403, "/home/")
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(login.email)
    page.get_by_label("Password").fill(login.password)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name="Open the admin")).to_be_visible()
    witness.inspect(page, "staff")
    page.goto("/styleguide/")
    witness.inspect(page, "styleguide")
