"""What a stranger's connection may cost: uvicorn with our protocol, a real socket, an application that reads it all."""

import asyncio
import socket
import threading
import time

import pytest
import uvicorn

from config import http
from config.http import BoundedProtocol
from embedded.places import free_port

BOUND_S = 0.3


async def reads_everything(scope, receive, send):
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(size)))]})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def port():
    chosen = free_port("127.0.0.1")
    server = uvicorn.Server(
        uvicorn.Config(
            reads_everything, host="127.0.0.1", port=chosen, http=BoundedProtocol, lifespan="off", log_level="error"
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield chosen
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def wire(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(http, "HEADERS_WITHIN_S", BOUND_S)
    monkeypatch.setattr(http, "BODY_WITHIN_S", BOUND_S)


def pour(wire: socket.socket, piece: bytes, *, most: int) -> int:
    """How many bytes were taken before the other end hung up."""
    sent = 0
    try:
        while sent < most:
            wire.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


def answer(wire: socket.socket) -> bytes:
    try:
        return wire.recv(4096)
    except ConnectionError:
        return b""


def test_an_honest_request_is_served_and_the_connection_stays(wire):
    for body in (b"", b"a" * 1000, b"b" * (http.MOST_BODY_BYTES)):
        wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = b""
        while not got.endswith(str(len(body)).encode()):
            got += wire.recv(4096)
        assert got.startswith(b"HTTP/1.1 200")


def test_a_body_in_pieces_is_served(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert answer(wire).startswith(b"HTTP/1.1 200")


def test_one_header_without_end_is_cut_off(wire):
    wire.sendall(b"GET / HTTP/1.1\r\nX: ")
    assert pour(wire, b"a" * 65536, most=64 * 1024 * 1024) < 16 * 1024 * 1024


def test_headers_without_end_are_cut_off(wire):
    wire.sendall(b"GET / HTTP/1.1\r\n")
    assert pour(wire, b"X-A: b\r\n" * 1000, most=64 * 1024 * 1024) < 16 * 1024 * 1024


def test_headers_too_large_are_answered_431(wire):
    wire.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * (http.MOST_HEADER_BYTES + 1))
    assert answer(wire).startswith(b"HTTP/1.1 431")


def test_a_body_said_to_be_too_large_is_answered_413_unread(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (http.MOST_BODY_BYTES + 1))
    assert answer(wire).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", [b"99999999999999999999", b"x"])
def test_a_length_that_is_none_is_refused(wire, length):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
    assert answer(wire)[:12] in {b"HTTP/1.1 413", b"HTTP/1.1 400"}


def test_a_body_that_grows_without_end_is_cut_off(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert pour(wire, b"10000\r\n" + b"a" * 65536 + b"\r\n", most=128 * 1024 * 1024) < 32 * 1024 * 1024


def test_headers_after_the_body_have_a_bound_too(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    assert pour(wire, b"a" * 65536, most=128 * 1024 * 1024) < 32 * 1024 * 1024


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX: a\r\n"])
def test_headers_that_do_not_come_end_the_connection(port, beginning):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        if beginning:
            wire.sendall(beginning)
        assert answer(wire).startswith(b"HTTP/1.1 408")
        assert answer(wire) == b""


@pytest.mark.usefixtures("quick")
def test_a_body_that_does_not_come_ends_the_connection(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert answer(wire).startswith(b"HTTP/1.1 408")
