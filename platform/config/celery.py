"""The Celery application. Beat's schedule is in ``config.schedule``, on one screen."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("chapek")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    ["common", "accounts", "inventory", "provisioning", "billing", "reservations", "compliance.audit", "api"]
)
app.conf.beat_schedule_filename = ".chapek/beat/schedule"

from config.schedule import SCHEDULE  # noqa: E402 - needs the app above

app.conf.beat_schedule = SCHEDULE

from observability import work  # noqa: E402 - likewise

work.watch()
