import json
from datetime import UTC, datetime

import pytest
from django.db import transaction

from common.actors import Actor, ActorKind
from compliance.audit import selectors, services
from compliance.verifier import chapek_verify

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
USER = Actor(kind=ActorKind.USER, ref="usr_01", tenant_id=1, role="admin", request_id="req-7")


@pytest.fixture(autouse=True)
def signing_key_file(tmp_path, settings):
    """Each test signs with a key of its own: no key outlives the rows that announced it."""
    path = tmp_path / "keys" / "signing.pem"
    settings.CHAPEK_SIGNING_KEY_FILE = str(path)
    return path


@pytest.fixture
def log_some():
    """Record events in one transaction; returns them. ``log_some(5, log=7, subject="res_a")``"""

    def record(count=1, *, log=1, subject="nod_a", kind="node.deploy", **details):
        with transaction.atomic():
            return [
                services.record(
                    log_tenant_id=log,
                    kind=kind,
                    subject_ref=subject,
                    actor=USER,
                    details={"number": number, **details},
                    at=AT,
                )
                for number in range(count)
            ]

    return record


@pytest.fixture
def download(tmp_path):
    """Export a log to a file, as a tenant does; returns (path, verifier key)."""

    def save(log=1, subjects=None, name="export.json", **options):
        path = tmp_path / name
        path.write_text(json.dumps(selectors.export(log_tenant_id=log, subject_refs=subjects, **options)))
        return str(path), selectors.verifier_key(log_tenant_id=log)

    return save


@pytest.fixture
def verdict():
    """The outcome and the classes of failure that the offline verifier names."""

    def run(path, key, **options):
        report = chapek_verify.verify(str(path), [key], **options)
        assert not report.fault, report.fault
        return report.outcome, {problem.code for problem in report.problems}

    return run
