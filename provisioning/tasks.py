import time

from celery import shared_task

from provisioning import leases, runner
from provisioning.wake import wake

WAKES_PER_SITE = 20
"""At each beat; workers that are awake go on with whatever else is due at their site."""
TASK_S = 60.0


@shared_task(name="provisioning.run_job", ignore_result=True, acks_late=True)
def run_job(*, job_ref: str, site_code: str) -> None:
    started = time.monotonic()
    next_ref: str | None = job_ref
    while next_ref is not None:
        ran = runner.run(job_ref=next_ref)
        spent = time.monotonic() - started > TASK_S
        next_ref = leases.next_due(site_code=site_code) if ran and not spent else None


@shared_task(name="provisioning.reconcile", queue="control", ignore_result=True)
def reconcile() -> None:
    leases.free_orphans()
    for job_ref, site_code in leases.due(per_site=WAKES_PER_SITE):
        wake(job_ref=job_ref, site_code=site_code)
