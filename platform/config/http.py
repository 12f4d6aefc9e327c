"""What a connection may cost before anybody knows who is there: uvicorn's HTTP protocol with bounds.

Headers have a size and must be there in time; a body has a size and a least speed. uvicorn itself bounds neither, and
Django keeps a whole body on disk before a view is asked. Given to uvicorn as ``--http config.http:BoundedProtocol``.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEADER_BYTES = 64 * 1024
MOST_HEADERS = 200  # those after a body in pieces included
MOST_BODY_BYTES = 2 * 1024 * 1024
"""The largest honest one is a form with 64 KiB of user data, each character written as nine."""
HEADERS_WITHIN_S = 20.0
BODY_WITHIN_S = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431, 413 or 408 and hangs up where a request is too large or too slow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._body_bytes = 0
        self._request_bytes = 0
        self._in_headers = True
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect(HEADERS_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._in_headers:
            # Counted before the parser sees it: a single name or value without end never comes out of it.
            self._header_bytes += len(data)
            if self._timer is None:
                self._expect(HEADERS_WITHIN_S)
        self._request_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(431)
        elif self._request_bytes > MOST_HEADER_BYTES + 2 * MOST_BODY_BYTES:
            self._refuse(413)  # pieces without content, or headers after the body

    def on_message_begin(self) -> None:
        self._in_headers, self._body_bytes, self._request_bytes = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._in_headers, self._header_bytes = False, 0
        self._stop_clock()
        if self._is_over:
            return
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > MOST_BODY_BYTES:
            self._refuse(413)
            return
        super().on_headers_complete()
        if int(length) or any(name == b"transfer-encoding" for name, _value in self.headers):
            self._expect(BODY_WITHIN_S)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MOST_BODY_BYTES:
            self._refuse(413)
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_clock()
        if not self._is_over:
            super().on_message_complete()
        self._in_headers, self._header_bytes = True, 0

    def _expect(self, seconds: float) -> None:
        self._stop_clock()
        self._timer = self.loop.call_later(seconds, self._refuse, 408)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        """Say why, where no answer has begun, and hang up."""
        if self._is_over or self.transport.is_closing():
            return
        self._is_over = True
        self._stop_clock()
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
