"""A turn at a node's BMC: one worker and one command at a time over all workers, with the pause that the BMC needs.

The turn is a row with an expiry, set anew before each command to a little more than the command may take: the turn of
a killed worker is over within seconds. Waiting for the pause between two IPMI commands is done here, in the thread: a
step that gave way instead would look again, spend the pause on looking, and never act.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from inventory.models import BmcEndpoint, Node
from provisioning.drivers.base import Driver, Endpoint, factory
from provisioning.drivers.errors import BmcBusy
from provisioning.errors import LeaseLost
from provisioning.leases import worker_name

_TAKE = """
INSERT INTO provisioning_bmcturn (node_id, owner, held_until, next_command_at)
VALUES (%(node)s, %(owner)s, clock_timestamp() + make_interval(secs => %(hold_s)s), clock_timestamp())
ON CONFLICT (node_id) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until
WHERE provisioning_bmcturn.held_until IS NULL OR provisioning_bmcturn.held_until < clock_timestamp()
RETURNING extract(epoch FROM next_command_at - clock_timestamp())
"""
_TAKEN_FOR = """
SELECT greatest(0, extract(epoch FROM held_until - clock_timestamp())) FROM provisioning_bmcturn
WHERE node_id = %s AND held_until IS NOT NULL
"""
_KEEP = """
UPDATE provisioning_bmcturn SET held_until = clock_timestamp() + make_interval(secs => %s)
WHERE node_id = %s AND owner = %s
"""
_GIVE = """
UPDATE provisioning_bmcturn SET
    owner = '', held_until = NULL, next_command_at = clock_timestamp() + make_interval(secs => %s)
WHERE node_id = %s AND owner = %s
"""


class BmcTurnTaken(BmcBusy):
    """Another worker has its turn at this BMC: no fault of the BMC's, only to be waited for."""

    code = "bmc-turn-taken"

    @property
    def free_in_s(self) -> float:
        """When the turn is over at the latest, should its worker be dead."""
        return float(self.context["free_in_s"])


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

    Raises BmcTurnTaken when another worker has its turn; says for how long at the most.
    """
    gap_s = float(settings.CHAPEK_IPMI_GAP_S) if node.bmc.driver == "ipmi" else 0.0
    # One command and the pause before it, with half as much again for a slow machine.
    hold_s = 1.5 * settings.CHAPEK_BMC_TIMEOUT_S + gap_s
    owner = worker_name()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"node": node.pk, "owner": owner, "hold_s": hold_s})
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_TAKEN_FOR, [node.pk])
            left = cursor.fetchone()
            raise BmcTurnTaken(
                "another worker is talking to this BMC", node=node.ref, free_in_s=float(left[0]) if left else 0.0
            )
    kept_until = time.monotonic() + hold_s
    free_at = time.monotonic() + max(0.0, float(row[0]))

    def before() -> None:
        nonlocal free_at, kept_until
        pause = free_at - time.monotonic()
        if pause > 0:
            time.sleep(min(pause, gap_s))
        check()
        if kept_until - time.monotonic() < hold_s * 0.75:
            with connection.cursor() as cursor:
                cursor.execute(_KEEP, [hold_s, node.pk, owner])
                if cursor.rowcount == 0:
                    raise LeaseLost
            kept_until = time.monotonic() + hold_s
        free_at = time.monotonic() + gap_s

    driver = factory(node.bmc.driver)(endpoint=endpoint_of(node), before=before)
    try:
        yield driver
    finally:
        driver.close()
        with connection.cursor() as cursor:
            cursor.execute(_GIVE, [gap_s, node.pk, owner])
