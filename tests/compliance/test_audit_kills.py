"""kill -9 of the sequencer's process at random moments: no acknowledged event is lost, no log forks."""

import os
import random
import select
import subprocess
import sys
from urllib.parse import quote

import pytest
from django.db import connection

from compliance.audit import services
from compliance.audit.merkle import Frontier
from compliance.audit.models import AuditEvent, Checkpoint

KILLS = 100
SEALER = """
import django
django.setup()
from compliance.audit import sequencer, services
sequencer.BATCH = 7
print("ready", flush=True)
while True:
    services.seal()
"""


def start_sealer(signing_key_file):
    facts = connection.settings_dict
    url = f"postgresql://{quote(facts['USER'])}@/{quote(facts['NAME'])}?host={quote(facts['HOST'])}"
    process = subprocess.Popen(
        [sys.executable, "-c", SEALER],
        env={**os.environ, "CHAPEK_DATABASE_URL": url, "CHAPEK_SIGNING_KEY_FILE": str(signing_key_file)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0]
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_the_sequencer_survives_being_killed_at_random_moments(log_some, signing_key_file, download, verdict):
    dice = random.Random(4)
    written, checkpoints = 0, {}
    for _kill in range(KILLS):
        process = start_sealer(signing_key_file)
        for _burst in range(dice.randrange(1, 6)):
            count = dice.randrange(1, 60)
            log_some(count, log=dice.choice([1, 2]))
            written += count
        select.select([], [], [], dice.random() / 20)  # the kill comes at any moment of a batch
        process.kill()
        process.wait(20)
        process.stdout.close()
        for row in Checkpoint.objects.all():
            seen = checkpoints.setdefault((row.log_tenant_id, row.size), bytes(row.root))
            assert seen == bytes(row.root)
    services.seal()
    assert AuditEvent.objects.count() == written
    for log in (1, 2):
        events = AuditEvent.objects.filter(log_tenant_id=log).order_by("index")
        assert [event.index for event in events] == list(range(len(events)))
        frontier = Frontier()
        for event in events:
            frontier.append(bytes(event.leaf_hash))
            signed = checkpoints.get((log, frontier.size))
            assert signed is None or signed == frontier.root
        assert verdict(*download(log=log)) == ("verified", set())
