from celery import shared_task

from api import idempotency


@shared_task(name="api.forget_old_keys", queue="control", ignore_result=True)
def forget_old_keys() -> None:
    idempotency.forget_old_keys()
