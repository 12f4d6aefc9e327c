"""What Prometheus reads: the fleet's figures by SQL, requests by route, and no figure that costs the others."""

import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from inventory.models import Node
from observability import metrics
from provisioning.models import Job
from provisioning.states import JobKind, JobState
from tests.operations.conftest import fleet, signing_key_file, story  # noqa: F401 - fixtures
from tests.operations.everything import job_of


def read(client) -> dict[str, dict[tuple[str, ...], float]]:
    """name -> (label values in order of their names) -> value, of what is ours."""
    answer = client.get("/metrics", REMOTE_ADDR="127.0.0.1")
    assert answer.status_code == 200
    return {
        family.name: {
            tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(answer.content.decode())
        if family.name.startswith("chapek_")
    }


def test_the_fleet_and_its_work_are_counted(client, story):  # noqa: F811 - a fixture
    found = read(client)
    assert found["chapek_nodes"] == {("kladno", "available"): 5, ("kladno", "deploying"): 1}
    # Labels by name: kind, site, state; then code, driver, kind, step.
    assert found["chapek_jobs"] == {("deploy", "kladno", "ready"): 1}
    assert found["chapek_job_failures_last_day"] == {("erase-failed", "fake", "clean", "power_off"): 1}
    assert found["chapek_findings_open"] == {("critical",): 1}
    assert found["chapek_reservations"][("deploying",)] == 1
    assert found["chapek_reservations"][("active",)] == 0
    assert found["chapek_invoices"] == {("draft",): 1, ("issued",): 0, ("overdue",): 0}
    assert found["chapek_charges_pending"] == {(): 1}
    assert found["chapek_holds"] == {("EUR",): 2}
    assert found["chapek_held_amount"][("EUR",)] > 1
    assert found["chapek_outbox_pending"][()] >= 1
    assert found["chapek_outbox_failing"] == {(): 0}
    assert found["chapek_audit_unsealed"] == {(): 0}
    assert set(found["chapek_collector_up"].values()) == {1}


def test_a_node_that_hangs_and_a_job_that_nobody_takes_are_seen(client, story):  # noqa: F811 - a fixture
    now = timezone.now()
    stuck = Node.objects.filter(state="available").first()
    job = job_of(stuck, kind=JobKind.CLEAN, state=JobState.WAITING, deadline_at=now - timedelta(seconds=5))
    Node.objects.filter(pk=stuck.pk).update(state="cleaning", state_changed_at=now - timedelta(hours=2))
    Job.objects.filter(pk=job.pk).update(run_at=now - timedelta(minutes=10))
    found = read(client)
    assert found["chapek_nodes_past_deadline"][("kladno", "cleaning")] == 1
    assert 7190 < found["chapek_node_oldest_age_seconds"][("kladno", "cleaning")] < 7260
    assert 590 < found["chapek_job_due_age_seconds"][("kladno",)] < 660
    assert ("kladno", "available") not in found["chapek_node_oldest_age_seconds"]


def test_a_scrape_costs_a_dozen_queries_whatever_there_is(client, story):  # noqa: F811 - a fixture
    with CaptureQueriesContext(connection) as asked:
        read(client)
    statements = [query["sql"] for query in asked if query["sql"].lstrip().upper().startswith("SELECT")]
    assert len(statements) <= 12, statements


def test_figures_that_cannot_be_read_cost_no_others(client, db, monkeypatch):
    def broken():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")
        return []

    monkeypatch.setitem(metrics._sources, "billing", broken)
    found = read(client)
    assert found["chapek_collector_up"] == {
        ("audit",): 1, ("billing",): 0, ("outbox",): 1, ("provisioning",): 1, ("reservations",): 1
    }  # fmt: skip
    assert "chapek_holds" not in found
    assert "chapek_outbox_pending" in found


def test_requests_are_counted_by_route_never_by_path(client, db):
    def counted(text: str) -> dict[tuple[str, str, str], float]:
        pattern = re.compile(r'chapek_request_seconds_count\{method="(\w+)",route="([^"]+)",status="(\d+)"\} ([\d.]+)')
        return {(m[1], m[2], m[3]): float(m[4]) for m in pattern.finditer(text)}

    def look() -> dict[tuple[str, str, str], float]:
        return counted(client.get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode())

    before = look()
    client.get("/healthz")
    client.get("/admin/inventory/node/4711/change/")
    client.get("/no/such/page")
    client.generic("BREW", "/healthz")
    after = look()
    grown = {key for key, value in after.items() if value > before.get(key, 0)}
    assert ("GET", "/healthz", "200") in grown
    assert ("GET", "unmatched", "404") in grown
    assert ("other", "/healthz", "405") in grown
    assert {route for method, route, status in grown if status == "302"} == {
        "/admin/inventory/node/<path:object_id>/change/"
    }
    assert not any("4711" in route for _method, route, _status in after)


def test_processes_of_one_host_add_up_when_they_share_a_folder(tmp_path):
    code = (
        "from prometheus_client import Histogram\n"
        "from observability import metrics\n"
        "class R:\n    method = 'GET'\n    class resolver_match:\n        route = 'x'\n"
        "metrics.observe(R, status=200, seconds=0.1)\n"
    )
    environment = {
        **os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": "platform",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    show = (
        "from observability.health import _own_registry\nfrom prometheus_client import generate_latest\n"
        "print(generate_latest(_own_registry()).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", show], env=environment, check=True, timeout=60, capture_output=True, text=True
    )
    assert 'chapek_request_seconds_count{method="GET",route="/x",status="200"} 2.0' in done.stdout


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILURE"])
def test_a_workers_turns_are_counted_by_task_and_outcome(outcome):
    from prometheus_client import REGISTRY

    from observability import work

    class Task:
        name = "test.turn"

    def count() -> float:
        labels = {"task": "test.turn", "outcome": outcome.lower()}
        return REGISTRY.get_sample_value("chapek_worker_turns_total", labels) or 0

    before = count()
    work._begin(task_id="one")
    assert REGISTRY.get_sample_value("chapek_worker_running") == 1
    work._end(task_id="one", task=Task, state=outcome)
    assert (count() - before, REGISTRY.get_sample_value("chapek_worker_running")) == (1, 0)
