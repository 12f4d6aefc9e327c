"""Rousing a worker at the node's site. The broker only carries the call: losing it costs two seconds."""

from functools import partial

import structlog
from django.db import transaction
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


def queue_of(site_code: str) -> str:
    return f"site.{site_code}"


def wake_after_commit(*, job_ref: str, site_code: str) -> None:
    """Once the present transaction is committed (at once outside of one)."""
    transaction.on_commit(partial(wake, job_ref=job_ref, site_code=site_code), robust=True)


def wake(*, job_ref: str, site_code: str, in_s: float = 0.0) -> None:
    """Never raises: the job's row says that its turn has come, whoever hears of it."""
    from provisioning.tasks import run_job

    try:
        run_job.apply_async(
            kwargs={"job_ref": job_ref, "site_code": site_code},
            queue=queue_of(site_code),
            countdown=in_s or None,
            expires=60,
            retry=False,
        )
    except (RedisError, KombuError, OSError) as error:
        log.info("no broker to wake a worker", job=job_ref, error=type(error).__name__)
