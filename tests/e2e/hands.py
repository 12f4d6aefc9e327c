"""What a person does in the portal, step by step."""

import base64
import hashlib
import hmac
import shlex
import struct
import subprocess
import time
from pathlib import Path

from playwright.sync_api import Page, expect

PASSWORD = "correct-horse-battery-staple"
DEPLOYED_WITHIN_MS = 120_000


def log_in(page: Page, *, email: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/home/")


def totp(secret: str) -> str:
    """RFC 6238 with SHA-1, six digits, thirty seconds: what an authenticator app computes."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    place = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[place : place + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def new_key(folder: Path) -> Path:
    identity = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(identity)], check=True, timeout=60)
    return identity


def wait_for_state(page: Page, word: str) -> None:
    """The page itself says so, without being loaded anew by hand."""
    expect(page.locator("#detail .page-head .state", has_text=word)).to_be_visible(timeout=DEPLOYED_WITHIN_MS)


def run_as_printed(page: Page, *, identity: Path, folder: Path, remote: str) -> subprocess.CompletedProcess[str]:
    """The two blocks of the page, as printed: the known_hosts line into a file of its own, then ssh with it."""
    printed_line = shlex.split(page.locator("#known-hosts-1").inner_text())
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"{printed_line[1]}\n")
    program, *arguments = shlex.split(page.locator("#ssh-1").inner_text())
    options = [
        *("-i", str(identity), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
        *("-o", f"UserKnownHostsFile={known_hosts}", "-o", "GlobalKnownHostsFile=/dev/null", "-F", "/dev/null"),
    ]
    return subprocess.run(
        [program, *options, *arguments, remote], capture_output=True, text=True, timeout=60, check=False
    )
