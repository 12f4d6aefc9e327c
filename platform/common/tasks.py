from celery import shared_task

from common import outbox


@shared_task(name="common.dispatch_outbox", queue="control", ignore_result=True)
def dispatch_outbox() -> None:
    outbox.dispatch_pending()
