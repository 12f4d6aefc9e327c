"""One id per request, in every log line, error and audit event that it causes."""

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_only_middleware

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


@sync_only_middleware
def RequestIdMiddleware(  # noqa: N802 - named as Django names middleware
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        request_id = _begin(request)
        return _end(request, get_response(request), request_id=request_id, started=started)

    return middleware
