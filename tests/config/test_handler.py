"""The ASGI handler of the product: synchronous middleware around synchronous and asynchronous views."""

import threading

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from asgiref.testing import ApplicationCommunicator

from config.asgi import application
from config.handler import ThreadedHandler

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "server": ("localhost", 80),
    "client": ("127.0.0.1", 1),
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
}


def ask(path, *, through=application) -> tuple[int, dict[str, str]]:
    async def run():
        wire = ApplicationCommunicator(through, {**SCOPE, "path": path, "raw_path": path.encode()})
        await wire.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await wire.receive_output(timeout=20)
        while (await wire.receive_output(timeout=20)).get("more_body"):
            pass
        await wire.wait(timeout=20)
        return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}

    return async_to_sync(run)()


def test_the_chain_of_middleware_is_synchronous_to_its_end():
    assert isinstance(application, ThreadedHandler)
    assert not iscoroutinefunction(application._middleware_chain)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/api/v1/reservations/res_1/events/stream", 401)],
    ids=["synchronous view", "asynchronous view"],
)
def test_both_kinds_of_view_are_answered_through_all_of_it(db, path, status):
    got, headers = ask(path)
    assert got == status
    assert {"x-request-id", "content-security-policy", "x-frame-options"} <= set(headers)


def test_outermost_and_innermost_middleware_share_the_requests_one_thread(db, settings, monkeypatch):
    seen = []

    def noting(get_response):
        def middleware(request):
            seen.append(threading.get_ident())
            return get_response(request)

        return middleware

    monkeypatch.setattr("config.handler.noting", noting, raising=False)
    settings.MIDDLEWARE = ["config.handler.noting", *settings.MIDDLEWARE, "config.handler.noting"]
    assert ask("/healthz", through=ThreadedHandler())[0] == 200
    assert len(seen) == 2
    assert len({*seen}) == 1
    assert threading.get_ident() not in seen
