import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from embedded.errors import EmbeddedError
from embedded.places import free_port
from embedded.processes import Identity
from embedded.redis import Redis

pytestmark = pytest.mark.processes


@pytest.fixture
def server(state_folder: Path) -> Iterator[Redis]:
    started = Redis(state_dir=state_folder).start()
    yield started
    started.stop()


def test_its_url_is_all_a_client_needs(server: Redis) -> None:
    client = redis.Redis.from_url(server.url)
    assert client.set("key", "value") is True
    assert client.get("key") == b"value"


def test_without_the_password_nothing_is_answered(server: Redis) -> None:
    stranger = redis.Redis(host="127.0.0.1", port=int(server.port or 0))
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_is_in_no_process_list_and_no_open_file(server: Redis) -> None:
    password = server.url.split(":")[2].split("@")[0]
    assert len(password) == 43
    assert password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert password.encode() not in Path(f"/proc/{server.pid}/environ").read_bytes()
    assert password not in server.log_path.read_text()
    holders = [
        path for path in server.home.iterdir() if path.is_file() and password in path.read_text(errors="replace")
    ]
    assert sorted(path.name for path in holders) == ["password", "redis.conf"]
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_a_restart_keeps_the_address_and_only_the_durable_one_the_data(state_folder: Path) -> None:
    for durable, expected in ((True, b"1"), (False, None)):
        server = Redis(state_dir=state_folder / str(durable), durable=durable).start()
        try:
            url = server.url
            redis.Redis.from_url(url).set("key", "1")
            server.stop()
            server.start()
            assert server.url == url
            assert redis.Redis.from_url(url).get("key") == expected
        finally:
            server.stop()


def test_an_orphan_of_a_killed_supervisor_is_stopped_first(server: Redis) -> None:
    process, server.process = server.process, None
    successor = Redis(state_dir=server.home.parent).start()
    try:
        assert process is not None
        assert process.wait(10) == 0
        assert redis.Redis.from_url(successor.url).ping() is True
    finally:
        successor.stop()


def test_its_end_is_noticed(server: Redis) -> None:
    assert server.exit_code() is None
    os.kill(server.pid or 0, signal.SIGKILL)
    assert server.process is not None
    server.process.wait(10)
    assert server.exit_code() == -signal.SIGKILL


def test_a_taken_port_is_told_in_one_line(server: Redis, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"Redis did not start: .*Address already in use") as info:
        Redis(state_dir=tmp_path, port=server.port).start()
    assert "\n" not in str(info.value)
    identity = Identity.of(server.pid or 0)
    assert identity is not None
    assert identity.alive()


def test_a_port_asked_for_is_used(tmp_path: Path) -> None:
    port = free_port()
    asked = Redis(state_dir=tmp_path, port=port).start()
    try:
        assert redis.Redis.from_url(f"{asked.url}").connection_pool.connection_kwargs["port"] == port
    finally:
        asked.stop()
