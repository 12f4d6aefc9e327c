from celery import shared_task

from common.actors import system_actor
from reservations import services


@shared_task(name="reservations.run_due", queue="control", ignore_result=True)
def run_due() -> None:
    """Starts, ends and expiries whose time has come; idempotent, so two beats do no harm."""
    services.start_due()
    services.end_due()
    services.expire_quotes(actor=system_actor(name="conductor"))
