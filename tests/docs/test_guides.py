"""What the guides show works as it stands: the fleet file, the requests, the codes, the commands."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from api.errors import FRAMEWORK_CODES
from config.celery import app
from config.management.commands import _facts
from inventory import fleet_file
from inventory.models import BmcEndpoint, Image, Node
from provisioning import plans
from tests.billing.world import OPERATOR
from tests.reservations import world

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_PAGE = (ROOT / "docs" / "operator.md").read_text()
TENANT_PAGE = (ROOT / "docs" / "tenant.md").read_text()
PAGES = [OPERATOR_PAGE, TENANT_PAGE, (ROOT / "docs" / "settings.md").read_text()]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.django_db
def test_the_fleet_file_shown_is_taken_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    [text] = [block for block in blocks(OPERATOR_PAGE, "yaml") if block.startswith("sites:")]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "kl-h200-001").write_text("calvin-and-hobbes\n")
    document = yaml.safe_load(text)
    first = fleet_file.bring_up(document=document, actor=OPERATOR, folder=tmp_path)
    again = fleet_file.bring_up(document=document, actor=OPERATOR, folder=tmp_path)
    assert [(enrolled.is_new, enrolled.changed) for enrolled in (*first.nodes, *again.nodes)] == [
        (True, ()),
        (False, ()),
    ]
    assert Node.objects.get().bmc.password() == "calvin-and-hobbes"
    assert b"calvin" not in bytes(BmcEndpoint.objects.get().password_sealed)
    assert Image.objects.get().code == "debian-12"


def test_every_section_of_a_fleet_file_is_shown() -> None:
    [text] = [block for block in blocks(OPERATOR_PAGE, "yaml") if block.startswith("sites:")]
    assert set(yaml.safe_load(text)) == fleet_file._SECTIONS


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the guide's requests need curl and jq")
def test_the_requests_shown_to_tenants_run_as_they_stand(live_server, tmp_path: Path) -> None:
    """A shell, curl and a web server of this test: quote, reserve, look, extend, release, and what it left behind."""
    key = a_tenant_with_an_api_key()
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh" / "id_ed25519")], check=True, timeout=30
    )
    script = "set -euo pipefail\n" + "\n".join(blocks(TENANT_PAGE, "sh run"))
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CHAPEK_URL": live_server.url,
            "CHAPEK_KEY": key,
            "no_proxy": "*",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kladno\th200-8\t3\t3.000000" in done.stdout
    assert '"site": "kladno"' in done.stdout
    assert "deploying\nending\n" in done.stdout
    assert "Released" in done.stdout


def a_tenant_with_an_api_key() -> str:
    from accounts import services
    from accounts.legal import ensure_documents
    from tests.billing.world import make_seller

    ensure_documents()
    make_seller()
    world.make_image()
    site, node_type = world.make_site(), world.make_type()
    world.make_price(site=site, node_type=node_type)
    for _ in range(3):
        world.make_node(site=site, node_type=node_type)
    actor, _ssh_key = world.make_buyer()
    return services.make_api_key(actor=actor, name="docs", scopes=["read", "write", "billing"], expires_at=None).secret


def test_every_code_named_to_tenants_exists_with_its_status() -> None:
    statuses = {error.code: error.status for error in _facts.errors()}
    statuses |= {code: status for status, (code, _sentence) in FRAMEWORK_CODES.items()}
    table = TENANT_PAGE.partition("## Errors")[2].partition("\n## ")[0]
    wrong = []
    for status, codes in re.findall(r"^\| ([0-9, ]+) \| (.*) \|$", table, re.MULTILINE):
        allowed = {int(number) for number in status.split(",")}
        wrong += [code for code in re.findall(r"`([a-z-]+)`", codes) if statuses.get(code) not in allowed]
    assert wrong == []


def test_every_code_named_to_the_operator_exists() -> None:
    known = {error.code for error in _facts.errors()}
    section = OPERATOR_PAGE.partition("## When a node does not come up")[2].partition("\n## ")[0]
    rows = "\n".join(row for row in section.splitlines() if row.startswith("|"))
    assert sorted(set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", rows)) - known) == []


def test_steps_are_called_what_the_desk_calls_them() -> None:
    labels = {str(spec.label) for plan in plans.PLANS.values() for spec in plan}
    section = OPERATOR_PAGE.partition("## When a node does not come up")[2].partition("\n## ")[0]
    first_cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| *")]
    assert {name for cell in first_cells for name in re.findall(r"\*([^*]+)\*", cell)} <= labels


def test_every_management_command_named_exists_with_its_options() -> None:
    commands = get_commands()
    for page in PAGES:
        for name, rest in re.findall(r"manage\.py ([a-z_]+)([^`#\n|;&)]*)", page):
            assert name in commands, name
            if name == "sendtestemail":
                continue
            parser = load_command_class(commands[name], name).create_parser("manage.py", name)
            known = {option for action in parser._actions for option in action.option_strings}
            assert set(re.findall(r"(--[a-z-]+)", rest)) <= known, f"{name}{rest}"


def test_queues_named_are_those_that_tasks_are_sent_to() -> None:
    app.loader.import_default_modules()
    queues = {task.queue for name, task in app.tasks.items() if getattr(task, "queue", None) and "celery." not in name}
    assert queues == {"control"}
    assert "-Q control" in OPERATOR_PAGE
    assert "-Q site.kladno" in OPERATOR_PAGE
