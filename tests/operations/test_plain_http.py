"""Behind TLS: people are sent to it, nodes and health checks are answered in plain HTTP."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import django; django.setup()
from django.test import Client
for path in {paths!r}:
    answer = Client().get(path, **{headers!r})
    print(path, answer.status_code, answer.headers.get("Location", "-"))
"""


def ask(*paths: str, terminated: bool, **headers: str) -> dict[str, tuple[int, str]]:
    code = ASK.format(paths=paths, headers={"HTTP_HOST": "cloud.example", **headers})
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
        env={
            **os.environ, "PYTHONPATH": "platform", "DJANGO_SETTINGS_MODULE": "config.settings",
            "CHAPEK_PUBLIC_URL": "https://cloud.example", "CHAPEK_TLS_TERMINATED": "1" if terminated else "",
        },
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("/")]
    return {path: (int(status), location) for path, status, location in lines}


def test_people_are_sent_to_tls_and_machines_are_answered():
    found = ask("/accounts/login/", "/admin/", "/healthz", "/boot/artefacts/none", terminated=True)
    assert found["/accounts/login/"] == (301, "https://cloud.example/accounts/login/")
    assert found["/admin/"] == (301, "https://cloud.example/admin/")
    assert found["/healthz"] == (200, "-")
    assert found["/boot/artefacts/none"] == (404, "-")


def test_what_comes_through_the_proxy_is_not_sent_round_in_a_circle():
    found = ask("/healthz", "/admin/nothing-there/", terminated=True, HTTP_X_FORWARDED_PROTO="https")
    assert found["/healthz"] == (200, "-")
    assert not found["/admin/nothing-there/"][1].startswith("https://")


def test_a_header_is_not_believed_unless_a_proxy_is_said_to_be_there():
    found = ask("/admin/", terminated=False, HTTP_X_FORWARDED_PROTO="https")
    assert found["/admin/"] == (301, "https://cloud.example/admin/")
