"""Shared by all tests: the one set of real processes per run, and the people who act on it."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import TransactionTestCase, override_settings

from embedded.client import Client, wait_for
from embedded.stack import Stack
from tests.campaigns import register_profiles
from tests.emptying import empty_what_was_filled

PASSWORD = "correct-horse-battery-staple"

register_profiles()


@pytest.fixture(scope="session", autouse=True)
def quick_emptying() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_what_was_filled)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """In this process; real processes hash as the product does. Scrypt is slow on purpose."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, Redis, web, worker, beat and an emulated rack of twelve nodes: what `make up` runs, on free ports.

    Part of the nodes speak IPMI where ipmitool is on the path; the emulated hardware boots in no time.
    """
    folder = Path(tempfile.mkdtemp(prefix="chapek-stack-"))
    folder.chmod(0o711)
    running = Stack(
        state_dir=folder / "state",
        fast=True,
        node_count=12,
        instant=True,
        ipmi="some" if shutil.which("ipmitool") else "none",
        extra={
            "CHAPEK_RATE_WRITE": "100000/min",
            "CHAPEK_RATE_READ": "100000/min",
            "CHAPEK_TEST_NO_RATE_LIMITS": "1",
            "CHAPEK_JOB_LEASE_S": "6",
        },
    )
    try:
        yield running.start()
    finally:
        running.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def visitor(stack: Stack) -> Client:
    return Client(url=stack.url)


@pytest.fixture
def tenant(stack: Stack) -> Client:
    """The demonstration tenant, logged in, with an API key."""
    client = Client(url=stack.url)
    login = stack.logins["tenant"]
    client.log_in(email=login.email, password=login.password)
    client.make_api_key(name=f"test-{uuid.uuid4().hex[:8]}", scopes=["read", "write", "billing"])
    return client


@pytest.fixture
def clean_nodes(stack: Stack, visitor: Client) -> int:
    """Waits until intake has made every node sellable, and nobody holds one; says how many there are."""

    def look() -> int | None:
        lines = visitor.call("GET", "/catalogue")["stock"]
        total = sum(line["total"] for line in lines)
        return total if total and sum(line["free_now"] for line in lines) == total else None

    return wait_for(look, timeout_s=120, what="every node to be clean and free", every_s=0.5)


@pytest.fixture(scope="session")
def buyers(stack: Stack) -> list[Client]:
    """Five tenants who signed up as anyone does, each with an SSH key and an API key."""
    people = []
    for number in range(5):
        client = Client(url=stack.url)
        client.sign_up(email=f"buyer-{number}@tenant.example", password=PASSWORD, legal_name=f"Buyer {number} s.r.o.")
        client.make_api_key(name="buyer", scopes=["read", "write"])
        client.call("POST", "/ssh-keys", json={"name": "key", "public_key": new_public_key()})
        wait_for(
            lambda buyer=client: True if Decimal(buyer.call("GET", "/account")["balance"]["available"]) > 0 else None,
            timeout_s=20,
            what="the demonstration credit",
        )
        people.append(client)
    return people


def new_public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
