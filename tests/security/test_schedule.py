"""What keeps tables from growing for ever must really run."""

from config.celery import app
from config.schedule import SCHEDULE


def test_every_task_that_beat_rings_is_known_to_the_worker():
    app.loader.import_default_modules()
    assert {entry["task"] for entry in SCHEDULE.values()} <= set(app.tasks)


def test_messages_are_json_and_nothing_is_unpickled():
    assert set(app.conf.accept_content) == {"json"}
    assert app.conf.task_serializer == "json"
    assert app.conf.result_serializer == "json"
