"""A pytest plugin: one real PostgreSQL and one real Redis per test run, up before Django reads its settings.

Loaded by `-p embedded.testing`. Workers of pytest-xdist share the servers of their controller, each with its own
database (pytest-django's), Redis database and state folder. To test against servers of your own, set
CHAPEK_TEST_DATABASE_URL and CHAPEK_TEST_REDIS_URL.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from embedded.environment import make_state_folders, platform_environment
from embedded.errors import EmbeddedError
from embedded.lifeline import Lifeline
from embedded.postgres import Postgres
from embedded.redis import Redis

SHARED_DATABASE = "CHAPEK_TEST_DATABASE_URL"
SHARED_REDIS = "CHAPEK_TEST_REDIS_URL"
SHARED_FOLDER = "CHAPEK_TEST_FOLDER"


class Servers:
    """What this run started, and how it ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chapek-test-"))
        self.folder.chmod(0o711)
        self.lifeline = Lifeline()
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None

    def start(self) -> None:
        """Start what the environment does not name already, and name it there for the workers."""
        os.environ[SHARED_FOLDER] = str(self.folder)
        if SHARED_DATABASE not in os.environ:
            self.postgres = Postgres(state_dir=self.folder, fast=True).start()
            self.lifeline.hold(self.postgres.pid)
            self.postgres.create_database("chapek")
            os.environ[SHARED_DATABASE] = self.postgres.url("chapek")
        if SHARED_REDIS not in os.environ:
            self.redis = Redis(state_dir=self.folder).start()
            self.lifeline.hold(self.redis.pid)
            os.environ[SHARED_REDIS] = self.redis.url

    def stop(self) -> None:
        if self.redis is not None:
            self.redis.stop()
            os.environ.pop(SHARED_REDIS, None)
        if self.postgres is not None:
            self.postgres.remove()
            os.environ.pop(SHARED_DATABASE, None)
        self.lifeline.release()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def state_folder() -> Generator[Path, None, None]:
    """An empty state folder that every user can walk through (as `tmp_path` cannot be), deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="chapek-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _settings_of_this_process() -> dict[str, str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    number = int(re.sub(r"\D", "", worker) or "-1") + 1
    state_dir = Path(os.environ[SHARED_FOLDER]) / worker
    make_state_folders(state_dir)
    return platform_environment(
        state_dir=state_dir,
        database_url=os.environ[SHARED_DATABASE],
        redis_url=re.sub(r"/0$", f"/{number}", os.environ[SHARED_REDIS]),
        public_url="http://testserver",
        extra={"CHAPEK_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1"},
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None, None, None]:
    """Before pytest-django, which reads the settings in this same hook: wrappers come first."""
    asks_only = {"--help", "-h", "--version", "-V", "--markers", "--fixtures"}.intersection(args)
    if not asks_only:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            servers = Servers()
            early_config.add_cleanup(servers.stop)
            try:
                servers.start()
            except EmbeddedError as error:
                raise pytest.UsageError(str(error)) from None
        os.environ.update(_settings_of_this_process())
    return (yield)
