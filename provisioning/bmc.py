"""A turn at a node's BMC: one worker and one command at a time over all workers, with the pause that the BMC needs.

The turn is a row with an expiry. A turn is short (a few commands, each with a time-out), so waiting for the pause
between two IPMI commands is done here, in the thread: a step that gave way instead would look again, spend the pause
on looking, and never act.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from inventory.models import BmcEndpoint, Node
from provisioning.drivers.base import Driver, Endpoint, factory
from provisioning.drivers.errors import BmcBusy
from provisioning.leases import worker_name
from provisioning.models import BMC_TURN_S

_TAKE = """
INSERT INTO provisioning_bmcturn (node_id, owner, held_until, next_command_at)
VALUES (%(node)s, %(owner)s, clock_timestamp() + make_interval(secs => %(hold_s)s), clock_timestamp())
ON CONFLICT (node_id) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until
WHERE provisioning_bmcturn.held_until IS NULL OR provisioning_bmcturn.held_until < clock_timestamp()
RETURNING extract(epoch FROM next_command_at - clock_timestamp())
"""
_GIVE = """
UPDATE provisioning_bmcturn SET
    owner = '', held_until = NULL, next_command_at = clock_timestamp() + make_interval(secs => %s)
WHERE node_id = %s AND owner = %s
"""


def endpoint_of(node: Node) -> Endpoint:
    """The node's BMC with its password in clear: for a driver, for a moment."""
    row: BmcEndpoint = node.bmc
    return Endpoint(
        address=row.address,
        port=row.port,
        username=row.username,
        password=row.password(),
        cipher_suite=row.cipher_suite,
        certificate_sha256=row.certificate_sha256,
        timeout_s=settings.CHAPEK_BMC_TIMEOUT_S,
    )


@contextmanager
def session(*, node: Node, check: Callable[[], None]) -> Iterator[Driver]:
    """The driver of the node's BMC, ours alone until the block ends. ``check`` runs before every command.

    Raises BmcBusy when another worker has its turn; it heals within seconds.
    """
    gap_s = float(settings.CHAPEK_IPMI_GAP_S) if node.bmc.driver == "ipmi" else 0.0
    owner = f"{worker_name()}:{time.monotonic_ns()}"[-80:]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"node": node.pk, "owner": owner, "hold_s": BMC_TURN_S})
        row = cursor.fetchone()
    if row is None:
        raise BmcBusy("another worker is talking to this BMC", node=node.ref)
    ends = time.monotonic() + BMC_TURN_S - 2 * settings.CHAPEK_BMC_TIMEOUT_S
    free_at = time.monotonic() + max(0.0, float(row[0]))

    def before() -> None:
        nonlocal free_at
        pause = free_at - time.monotonic()
        if pause > 0:
            time.sleep(min(pause, gap_s))
        if time.monotonic() > ends:
            raise BmcBusy("the turn at this BMC is over", node=node.ref)
        check()
        free_at = time.monotonic() + gap_s

    driver = factory(node.bmc.driver)(endpoint=endpoint_of(node), before=before)
    try:
        yield driver
    finally:
        driver.close()
        with connection.cursor() as cursor:
            cursor.execute(_GIVE, [gap_s, node.pk, owner])
