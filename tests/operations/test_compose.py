"""docker/compose.yaml: what an installation on one host must not get wrong, read as compose reads it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import environment
from config.schedule import SCHEDULE

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker" / "compose.yaml").read_text()
EXAMPLE = (ROOT / "docker" / "example.env").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name not in {"postgres", "redis"}}


def queues(service: dict[str, Any]) -> set[str]:
    command = service.get("command", [])
    return set(command[command.index("-Q") + 1].split(",")) if "-Q" in command else set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_process_shares_secrets_settings_and_database(name):
    service = OURS[name]
    assert "state:/var/lib/chapek" in service["volumes"]
    assert {"CHAPEK_DATABASE_URL", "CHAPEK_REDIS_URL", "CHAPEK_PUBLIC_URL", "CHAPEK_BOOT_URL"} <= set(
        service["environment"]
    )
    assert service["env_file"] == [{"path": ".env", "required": False}]


def test_nothing_starts_before_the_migrations_which_make_the_secrets():
    for name, service in OURS.items():
        waits = set(service["depends_on"])
        assert name == "migrate" or "migrate" in waits or "lab-seed" in waits, name
    assert set(SERVICES["migrate"]["depends_on"]) == {"postgres"}
    assert "migrate" in SERVICES["lab-seed"]["depends_on"]


def test_the_health_check_is_let_in_whatever_hosts_are_named():
    assert OURS["web"]["environment"]["CHAPEK_ALLOWED_HOSTS"].startswith("127.0.0.1,")
    assert "http://127.0.0.1:8000/readyz" in OURS["web"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("https://cloud.example", "http://10.20.0.2:8000", "127.0.0.1"), ["cloud.example", "10.20.0.2", "127.0.0.1"]),
        (("http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1", "localhost"), ["127.0.0.1", "localhost"]),
        (("https://cloud.example", "http://[fd00::2]:8000", "[::1]"), ["cloud.example", "[fd00::2]", "[::1]"]),
    ],
)
def test_the_hosts_of_our_own_addresses_are_always_allowed(names, expected):
    assert environment.hosts(*names) == expected


def test_each_queue_has_one_worker_in_a_profile_and_none_of_the_other_profile_takes_its_jobs():
    for profile in ("site", "lab"):
        running = [
            service for service in OURS.values() if not service.get("profiles") or profile in service["profiles"]
        ]
        taken = [queue for service in running for queue in queues(service)]
        assert sorted(taken) == sorted(set(taken))
        assert "control" in taken
        assert any(queue.startswith("site.") for queue in taken)
    assert {entry["task"].partition(".")[0] for entry in SCHEDULE.values()} >= {"common", "audit"}


def test_the_lab_is_reached_in_the_networks_of_web():
    for name in ("lab", "worker-lab"):
        assert (SERVICES[name]["network_mode"], SERVICES[name]["profiles"]) == ("service:web", ["lab"])


def test_what_the_file_asks_for_stands_in_the_example():
    asked = set(re.findall(r"\$\{([A-Z_]+)", TEXT)) - {"CHAPEK_IMAGE", "POSTGRES_IMAGE", "REDIS_IMAGE"}
    offered = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert sorted(asked - offered) == []
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert needed <= set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE))
