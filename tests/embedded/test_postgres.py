import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.errors import EmbeddedError
from embedded.postgres import UNPRIVILEGED_UID, Postgres
from embedded.processes import Identity

pytestmark = pytest.mark.processes
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its rights")


@pytest.fixture
def postgres(state_folder: Path) -> Iterator[Postgres]:
    server = Postgres(state_dir=state_folder, fast=True).start()
    yield server
    server.remove()


def ask(server: Postgres, question: str, database: str = "postgres") -> object:
    with psycopg.connect(server.url(database)) as connection:
        row = connection.execute(question).fetchone()
    return None if row is None else row[0]


def test_it_is_postgresql_18_in_utf8_and_utc_without_tcp(postgres: Postgres) -> None:
    assert str(ask(postgres, "SHOW server_version")).startswith("18.")
    assert ask(postgres, "SHOW server_encoding") == "UTF8"
    assert ask(postgres, "SHOW timezone") == "UTC"
    assert ask(postgres, "SHOW listen_addresses") == ""
    assert ask(postgres, "SELECT current_user") == "chapek"


def test_only_the_fast_one_gives_up_durability(postgres: Postgres, tmp_path: Path) -> None:
    assert ask(postgres, "SHOW fsync") == "off"
    assert "fsync" not in Postgres(state_dir=tmp_path).settings


def test_nobody_else_can_enter_the_folder_of_its_socket(postgres: Postgres) -> None:
    assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700
    assert postgres.socket_dir.stat().st_uid == postgres.uid


@as_root
def test_started_by_root_it_runs_under_a_uid_of_its_own(postgres: Postgres) -> None:
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    assert f"Uid:\t{UNPRIVILEGED_UID}\t{UNPRIVILEGED_UID}\t{UNPRIVILEGED_UID}\t{UNPRIVILEGED_UID}\n" in status
    assert "Groups:\t \n" in status
    assert postgres.data_dir.stat().st_uid == UNPRIVILEGED_UID


@as_root
def test_where_its_uid_cannot_go_its_files_lie_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    server = Postgres(state_dir=tmp_path / "state", fast=True)
    try:
        server.start()
        assert ask(server, "SELECT 1") == 1
        assert tmp_path not in server.data_dir.parents
        outside = server.home.parent
    finally:
        server.remove()
    assert not outside.exists()


def test_what_it_was_told_is_there_after_a_restart(postgres: Postgres) -> None:
    assert postgres.create_database("chapek") is True
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    postgres.stop()
    assert postgres.pid is None
    postgres.start()
    assert postgres.create_database("chapek") is False
    assert ask(postgres, "SELECT answer FROM kept", "chapek") == 42


def test_an_orphan_of_a_killed_supervisor_is_stopped_first(postgres: Postgres) -> None:
    orphan = Identity.of(postgres.pid or 0)
    assert orphan is not None
    process, postgres.process = postgres.process, None
    successor = Postgres(state_dir=postgres.state_dir, fast=True).start()
    try:
        assert process is not None
        assert process.wait(10) == 0
        assert ask(successor, "SELECT 1") == 1
    finally:
        successor.stop()


def test_it_recovers_from_being_killed(postgres: Postgres) -> None:
    postgres.create_database("chapek")
    assert postgres.process is not None
    postgres.process.send_signal(signal.SIGKILL)
    assert postgres.process.wait(10) == -signal.SIGKILL
    assert postgres.exit_code() == -signal.SIGKILL
    postgres.start()
    assert ask(postgres, "SELECT 1", "chapek") == 1


def test_a_pid_file_that_names_a_foreign_process_does_it_no_harm(postgres: Postgres) -> None:
    postgres.stop()
    drop = postgres.uid if os.geteuid() == 0 else None
    with subprocess.Popen([shutil.which("sleep") or "sleep", "60"], user=drop) as foreign:
        (postgres.data_dir / "postmaster.pid").write_text(f"{foreign.pid}\n{postgres.data_dir}\n0\n5432\n\n\n0\n")
        postgres.start()
        assert ask(postgres, "SELECT 1") == 1
        assert foreign.poll() is None
        foreign.kill()


def test_a_long_state_folder_still_gets_a_socket(state_folder: Path) -> None:
    long = state_folder / ("long" * 25)
    server = Postgres(state_dir=long, fast=True)
    try:
        server.start()
        assert state_folder not in server.socket_dir.parents
        assert ask(server, "SELECT 1") == 1
        folder = server.socket_dir
    finally:
        server.remove()
    assert not folder.exists()


def test_data_of_another_version_is_refused_in_one_line(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.data_dir / "PG_VERSION").write_text("15\n")
    with pytest.raises(
        EmbeddedError, match=r"was made by PostgreSQL 15, installed is postgres \(PostgreSQL\) 18"
    ) as info:
        postgres.start()
    assert "\n" not in str(info.value)


def test_a_broken_cluster_is_told_with_the_words_of_its_log(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.data_dir / "postgresql.conf").write_text("no such setting\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL did not start: .*syntax error.* \(log: .*postgres\.log\)"):
        postgres.start()
    assert postgres.pid is None


def test_the_run_itself_has_one_server_for_all_workers() -> None:
    assert os.environ["CHAPEK_DATABASE_URL"] == os.environ["CHAPEK_TEST_DATABASE_URL"]
