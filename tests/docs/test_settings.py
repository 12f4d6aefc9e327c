"""docs/settings.md and the sources name the same CHAPEK_* variables; the addresses shown are such as work."""

import ast
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
NAME = re.compile(r"CHAPEK_[A-Z][A-Z0-9_]*")
READERS = {"text", "flag", "number", "items", "networks"}
# Attributes of Django's settings made from others, and none of the environment's.
NOT_FROM_THE_ENVIRONMENT = {"CHAPEK_VERSION"}


def read_by_settings() -> set[str]:
    """``env.text("NAME")`` and its kin, wherever they are called."""
    found = set()
    for path in (ROOT / "platform" / "config").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in READERS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "env"
            ):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path}: a setting's name must be plain to be found"
                found.add(f"CHAPEK_{first.value}")
    return found


def named_in_strings() -> set[str]:
    """Whole strings that are a variable's name: os.environ lookups, and what embedded/ hands to its children."""
    folders = ("platform", "billing", "provisioning", "compliance", "embedded", "lab", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    return {
        node.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value)
    }


def read_by_shell() -> set[str]:
    paths = [ROOT / "Makefile", *(ROOT / "docker").iterdir()]
    return {name for path in paths for name in NAME.findall(path.read_text())}


def known() -> set[str]:
    return (read_by_settings() | named_in_strings() | read_by_shell()) - NOT_FROM_THE_ENVIRONMENT


def test_the_search_finds_settings_of_every_kind() -> None:
    assert {"CHAPEK_DATABASE_URL", "CHAPEK_DEBUG", "CHAPEK_JOB_LEASE_S", "CHAPEK_ALLOWED_HOSTS"} <= read_by_settings()
    assert {"CHAPEK_KEYRING", "CHAPEK_PORT", "CHAPEK_VENV"} <= named_in_strings()
    assert "CHAPEK_BIND" in read_by_shell()


def test_every_setting_has_a_row_of_its_own() -> None:
    rows = set(re.findall(r"^\| `(CHAPEK_[A-Z0-9_]+)` \|", PAGE, re.MULTILINE))
    assert sorted(known() - rows) == []


def test_no_setting_is_described_that_does_not_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in NAME.findall(page.read_text())}
    # What a tenant's own shell calls its key and address in the examples.
    assert sorted(named - known() - NOT_FROM_THE_ENVIRONMENT - {"CHAPEK_KEY", "CHAPEK_URL"}) == []


@pytest.mark.parametrize("url", re.findall(r"postgresql://chapek[^\s'`]+", PAGE))
def test_every_database_address_shown_is_understood(url: str) -> None:
    found = environment.database(url)
    assert found["NAME"] == "chapek"
    assert found["USER"] == "chapek"


def test_several_hosts_and_tls_reach_libpq() -> None:
    found = environment.database(
        "postgresql://u:p%40ss@/chapek?host=db1,db2&port=5432,5433&target_session_attrs=read-write&sslmode=verify-full"
    )
    assert (found["HOST"], found["PORT"], found["PASSWORD"]) == ("db1,db2", "5432,5433", "p@ss")
    assert found["OPTIONS"] == {"target_session_attrs": "read-write", "sslmode": "verify-full"}


def redis_rows() -> list[tuple[str, bool]]:
    section = PAGE.partition("## External Redis")[2].partition("\n## ")[0]
    return [
        (url.replace("...", "//:p@h:1/0", 1) if "//..." not in url else url.replace("//...", "//:p@h:1/0"), supported)
        for row in section.splitlines()
        if row.startswith("| `")
        for url in re.findall(r"`([a-z+]+://[^`]+)`", row)
        for supported in ["| supported" in row]
    ]


@pytest.mark.parametrize(("url", "supported"), redis_rows())
def test_the_redis_addresses_called_supported_are_taken_by_every_client(url: str, supported: bool) -> None:
    """kombu for the broker, redis-py for all else: both read it and both check; every other form stops the start."""
    from kombu import Connection
    from redis import Redis
    from redis.exceptions import RedisError

    def broker_checks() -> bool | None:
        tls = Connection(url).ssl
        return None if not url.startswith("rediss") else bool(tls and tls.get("ssl_cert_reqs"))

    def client_checks() -> bool | None:
        connection = Redis.from_url(url).connection_pool.make_connection()
        return None if not url.startswith("rediss") else bool(connection.cert_reqs)

    answers = []
    for ask in (broker_checks, client_checks):
        try:
            answers.append(ask())
        except (ValueError, KeyError, RedisError) as error:
            answers.append(error)
    if supported:
        assert environment.redis(url) == url
        assert answers == [True if url.startswith("rediss") else None] * 2
    else:
        with pytest.raises(ImproperlyConfigured, match="CHAPEK_REDIS_URL"):
            environment.redis(url)
