"""Who works on a job: leases with fencing tokens (DESIGN invariant I6).

A lease is taken, renewed and given back by single guarded UPDATEs. These moves between ready, leased and waiting are
bookkeeping among workers and leave no audit event (``provisioning.states`` says which and why). Time here is the
database's ``clock_timestamp()`` with its fractions: nobody bills or audits by it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import close_old_connections, connection

from provisioning import workers
from provisioning.errors import LeaseLost

log = structlog.get_logger(__name__)

_DUE = """
    NOT is_queued AND (
        (state IN ('ready', 'waiting') AND (run_at <= clock_timestamp() OR deadline_at <= clock_timestamp()))
        OR (state = 'leased' AND lease_expires_at <= clock_timestamp()))
"""
_TAKE = f"""
UPDATE provisioning_job SET
    state = 'leased', lease_owner = %(owner)s, fencing_token = fencing_token + 1,
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    started_at = coalesce(started_at, clock_timestamp())
WHERE id = (SELECT id FROM provisioning_job WHERE ref = %(ref)s AND {_DUE} FOR UPDATE SKIP LOCKED)
RETURNING id, fencing_token, nudges
"""  # noqa: S608 - put together from constants
_RENEW = """
UPDATE provisioning_job SET lease_expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND fencing_token = %s AND state = 'leased' AND lease_expires_at > clock_timestamp()
"""
_CHECK = """
SELECT 1 FROM provisioning_job
WHERE id = %s AND fencing_token = %s AND state = 'leased' AND lease_expires_at > clock_timestamp()
"""
_DUE_REFS = f"""
SELECT ref, code FROM (
    SELECT j.ref, s.code, row_number() OVER (PARTITION BY s.id ORDER BY j.run_at) AS place
    FROM (SELECT ref, node_id, run_at FROM provisioning_job WHERE {_DUE}) j
    JOIN inventory_node n ON n.id = j.node_id JOIN inventory_site s ON s.id = n.site_id
) due WHERE place <= %s
"""  # noqa: S608 - put together from constants
_NEXT_AT_SITE = f"""
SELECT j.ref FROM (SELECT ref, node_id, run_at FROM provisioning_job WHERE {_DUE}) j
JOIN inventory_node n ON n.id = j.node_id JOIN inventory_site s ON s.id = n.site_id
WHERE s.code = %s ORDER BY j.run_at LIMIT 1
"""  # noqa: S608 - likewise


def worker_name() -> str:
    """Process and thread, such that another process on the same machine can tell whether this one still lives."""
    return f"{workers.me()}/{threading.get_native_id()}"


@dataclass(kw_only=True)
class Lease:
    """The right to work on one job until somebody else has a higher token."""

    job_id: int
    token: int
    nudges: int
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Called before every outside act. Raises LeaseLost when the job is no longer ours."""
        if not self.lost.is_set():
            with connection.cursor() as cursor:
                cursor.execute(_CHECK, [self.job_id, self.token])
                if cursor.fetchone() is not None:
                    return
        self.lost.set()
        raise LeaseLost

    def renew(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, [settings.CHAPEK_JOB_LEASE_S, self.job_id, self.token])
            if cursor.rowcount == 1:
                return True
        self.lost.set()
        return False


def take(*, job_ref: str) -> Lease | None:
    """Lease the job if its turn has come and nobody has it; None otherwise. Never waits for another worker."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"owner": worker_name(), "lease_s": settings.CHAPEK_JOB_LEASE_S, "ref": job_ref})
        row = cursor.fetchone()
    return None if row is None else Lease(job_id=row[0], token=row[1], nudges=row[2])


def put_down(*, lease: Lease, wait_s: float | None, until_deadline: bool = False) -> bool:
    """Give the job back: ``wait_s`` seconds from now it is due again (None: at once), or at its step's deadline.

    News that came in since the worker took it makes it due at once. True when it is due now. Raises LeaseLost.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE provisioning_job SET
                state = CASE WHEN %(ready)s THEN 'ready' ELSE 'waiting' END,
                lease_owner = '', lease_expires_at = NULL,
                run_at = CASE
                    WHEN %(ready)s OR nudges <> %(nudges)s THEN clock_timestamp()
                    WHEN %(until_deadline)s THEN coalesce(deadline_at, clock_timestamp())
                    ELSE clock_timestamp() + make_interval(secs => %(wait_s)s) END
            WHERE id = %(id)s AND fencing_token = %(token)s AND state = 'leased'
            RETURNING run_at <= clock_timestamp()
            """,
            {
                "ready": wait_s is None and not until_deadline,
                "nudges": lease.nudges,
                "until_deadline": until_deadline,
                "wait_s": wait_s or 0.0,
                "id": lease.job_id,
                "token": lease.token,
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost
    return bool(row[0])


def nudge(*, job_id: int) -> None:
    """Something happened that the job waits for: it is due now, even if a worker is just about to let it wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE provisioning_job SET
                nudges = nudges + 1,
                run_at = CASE WHEN state = 'waiting' THEN clock_timestamp() ELSE run_at END
            WHERE id = %s AND state IN ('ready', 'leased', 'waiting')
            """,
            [job_id],
        )


def due(*, per_site: int) -> list[tuple[str, str]]:
    """(job ref, site code) of jobs whose turn has come: ready, waited long enough, past their deadline, or orphaned.

    At most ``per_site`` of each site: a worker that is woken goes on with the rest by itself.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE_REFS, [per_site])
        return [(ref, site) for ref, site in cursor.fetchall()]


def next_due(*, site_code: str) -> str | None:
    """The job of that site that has been due longest."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_AT_SITE, [site_code])
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def free_orphans() -> int:
    """Let go of what workers held that are dead for certain: processes of this machine that are no more.

    Saves waiting for the lease to run out. Who died elsewhere is waited for. Returns how many dead workers there were.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT lease_owner FROM provisioning_job WHERE state = 'leased' AND lease_expires_at > clock_timestamp()
            UNION SELECT owner FROM provisioning_bmcturn WHERE held_until > clock_timestamp()
            """
        )
        dead = [owner for (owner,) in cursor.fetchall() if workers.is_dead(owner.partition("/")[0])]
        if dead:
            cursor.execute(
                "UPDATE provisioning_job SET lease_expires_at = clock_timestamp() "
                "WHERE state = 'leased' AND lease_owner = ANY(%s)",
                [dead],
            )
            cursor.execute("UPDATE provisioning_bmcturn SET held_until = NULL WHERE owner = ANY(%s)", [dead])
    return len(dead)


class Keeper:
    """Renews all leases that this process holds, from one thread, three times per lease period."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[int, Lease] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, lease: Lease) -> Callable[[], None]:
        """Keep the lease alive until the returned function is called."""
        with self._lock:
            self._leases[id(lease)] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()

        def drop() -> None:
            with self._lock:
                self._leases.pop(id(lease), None)

        return drop

    def _run(self) -> None:
        while True:
            self._wake.wait(settings.CHAPEK_JOB_LEASE_S / 3)
            with self._lock:
                held = list(self._leases.values())
                if not held:
                    self._thread = None
                    return
            try:
                for lease in held:
                    if id(lease) in self._leases and not lease.lost.is_set() and not lease.renew():
                        log.info("lease not renewed: given back or lost", job_id=lease.job_id, fence=lease.token)
            except Exception:
                # A database that is away for a moment: the leases run on, and expire by themselves if it stays away.
                log.exception("leases could not be renewed")
            finally:
                close_old_connections()
                connection.close()


keeper = Keeper()
