from celery import shared_task

from compliance.audit import services


@shared_task(name="audit.seal", queue="control", ignore_result=True)
def seal() -> None:
    services.seal(wait=False)
