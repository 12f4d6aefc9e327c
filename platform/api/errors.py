"""Errors as RFC 9457 problem details, with a stable code, a hint, and whether the same request may work later."""

import json
import math
from collections.abc import Iterator
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from common.errors import DomainError

log = structlog.get_logger(__name__)
CONTENT_TYPE = "application/problem+json"
UNAVAILABLE_S = 5
# Codes of what the framework itself refuses; rooms bring their own with DomainError.
FRAMEWORK_CODES: dict[int, tuple[str, str]] = {
    400: ("invalid-request", "The request cannot be understood or breaks a stated rule."),
    401: ("not-authenticated", "No valid API key or session was given."),
    403: ("forbidden", "You are known, but this is not allowed."),
    404: ("not-found", "Nothing of that name is visible to you."),
    405: ("method-not-allowed", "This address does not know this method."),
    406: ("not-acceptable", "Answers are JSON only."),
    413: ("body-too-large", "The body is larger than allowed."),
    415: ("unsupported-media-type", "Bodies are application/json."),
    429: ("rate-limited", "Too many requests in this window."),
    500: ("internal-error", "Our fault; it was logged under the request id."),
    503: ("unavailable", "The database does not answer, or has more work than it can take."),
}


def problem(
    *,
    status_code: int,
    code: str,
    detail: str,
    request_id: str,
    hint: str = "",
    retry: bool = False,
    retry_after_s: int | None = None,
    errors: list[dict[str, str]] | None = None,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The members of one problem. ``type`` is the address of a page that explains the code."""
    body: dict[str, Any] = {
        "type": f"{settings.CHAPEK_PUBLIC_URL}/api/v1/problems#{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status_code,
        "detail": detail,
        "code": code,
        "hint": hint,
        "request_id": request_id,
        "retry": retry,
        "errors": errors or [],
    }
    if retry_after_s is not None:
        body["retry_after_s"] = retry_after_s
    if facts:
        body["facts"] = facts
    return body


def of_domain_error(error: DomainError, *, request_id: str) -> dict[str, Any]:
    """What a room refused: its code, hint and plain facts as they are."""
    facts = {name: value for name, value in error.context.items() if name != "field" and value not in (None, "")}
    field = error.context.get("field")
    return problem(
        status_code=error.status,
        code=error.code,
        detail=str(error.message),
        hint=_(str(error.hint)) if error.hint else "",
        request_id=request_id,
        retry=error.retryable,
        errors=[{"field": str(field), "code": error.code, "message": str(error.message)}] if field else [],
        facts=json.loads(json.dumps(facts, cls=JSONEncoder, default=str)),
    )


def flatten(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested field errors as one flat list: ``{"field": "scopes.0", "code": ..., "message": ...}``."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from flatten(inner, own)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from flatten(inner, f"{path}.{index}" if nested else path)
    else:
        yield {"field": path, "code": str(getattr(detail, "code", "invalid")), "message": str(detail)}


def _of_framework_error(error: exceptions.APIException, *, request_id: str) -> dict[str, Any]:
    code, _sentence = FRAMEWORK_CODES.get(error.status_code, ("error", ""))
    if isinstance(error, exceptions.ValidationError):
        return problem(
            status_code=error.status_code,
            code=code,
            detail=_("Some fields are not as they should be."),
            request_id=request_id,
            errors=list(flatten(error.detail)),
        )
    wait = getattr(error, "wait", None)
    return problem(
        status_code=error.status_code,
        code=code,
        detail=str(error.detail),
        request_id=request_id,
        retry=isinstance(error, exceptions.Throttled),
        retry_after_s=math.ceil(wait) if wait else None,
    )


def problem_details(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: foreseen errors as they are, all others as a 500 that says nothing of the inside."""
    request_id = str(context["request"].META.get("chapek.request_id", ""))
    headers: dict[str, str] = {}
    if isinstance(error, Http404):
        error = exceptions.NotFound(_("There is nothing here."))
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, DomainError):
        body = of_domain_error(error, request_id=request_id)
        if error.status >= status.HTTP_500_INTERNAL_SERVER_ERROR:
            log.error("request failed", code=error.code, error=error.message, exc_info=error)
        if error.retryable:
            headers["Retry-After"] = str(error.context.get("retry_after_s", 1))
    elif isinstance(error, exceptions.APIException):
        body = _of_framework_error(error, request_id=request_id)
        if "retry_after_s" in body:
            headers["Retry-After"] = str(body["retry_after_s"])
        if getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]  # set by DRF's view
    elif isinstance(error, OperationalError | InterfaceError):
        log.error("request failed: the database does not answer", error=type(error).__name__, exc_info=error)
        body = problem(
            status_code=503,
            code="unavailable",
            detail=_("The platform cannot serve this now."),
            hint=_("send the same request again, with the same Idempotency-Key, in some seconds"),
            request_id=request_id,
            retry=True,
            retry_after_s=UNAVAILABLE_S,
        )
        headers["Retry-After"] = str(UNAVAILABLE_S)
    else:
        log.error("request failed unexpectedly", error=type(error).__name__, exc_info=error)
        body = internal_error(request_id=request_id)
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def internal_error(*, request_id: str) -> dict[str, Any]:
    return problem(
        status_code=500,
        code="internal-error",
        detail=_("Something went wrong on our side."),
        hint=_("tell the operator the request id"),
        request_id=request_id,
    )


def problem_response(request: HttpRequest, error: DomainError, **headers: str) -> JsonResponse:
    """For plain Django views beside DRF, as the event stream."""
    body = of_domain_error(error, request_id=str(request.META.get("chapek.request_id", "")))
    return JsonResponse(body, status=error.status, content_type=CONTENT_TYPE, headers=headers)
