"""One id per request, in every log line, error and audit event that it causes."""

import re
import time
import uuid
from collections.abc import Callable

import structlog
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from observability import metrics

_ACCEPTABLE = re.compile(r"^[A-Za-z0-9_-]{8,64}$")


def _begin(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _ACCEPTABLE.match(given) else uuid.uuid4().hex
    request.META["chapek.request_id"] = request_id
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def _end(request: HttpRequest, response: HttpResponse, *, request_id: str, started: float) -> HttpResponse:
    response["X-Request-Id"] = request_id
    metrics.observe(request, status=response.status_code, seconds=time.monotonic() - started)
    return response


@sync_and_async_middleware
def RequestIdMiddleware(get_response: Callable[[HttpRequest], HttpResponse]):  # type: ignore[no-untyped-def]  # noqa: ANN201, N802 - two shapes, named as Django names middleware
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponse:
            started = time.monotonic()
            request_id = _begin(request)
            response: HttpResponse = await get_response(request)
            return _end(request, response, request_id=request_id, started=started)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        request_id = _begin(request)
        return _end(request, get_response(request), request_id=request_id, started=started)

    return synchronous
