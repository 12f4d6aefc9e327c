"""The API described: OpenAPI as JSON, a page of it for people, and a page of all problem codes. No foreign scripts."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from api.errors import FRAMEWORK_CODES
from common.errors import DomainError

METHODS = ("get", "post", "put", "patch", "delete")


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole API as OpenAPI 3.1; made once per process."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@require_safe
def openapi(_request: HttpRequest) -> JsonResponse:
    return JsonResponse(document(), headers={"Cache-Control": "public, max-age=60"})


def operations() -> Iterator[dict[str, Any]]:
    """Every operation in the order of its path, as the page shows it."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            yield {
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "is_public": {} in operation.get("security", []),
                "parameters": [_parameter(entry) for entry in operation.get("parameters", [])],
                "fields": list(_fields(body)),
                "codes": sorted(operation.get("responses", {})),
            }


def _parameter(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "where": entry["in"],
        "required": entry.get("required", False),
        "text": entry.get("description", ""),
    }


def _fields(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found = document()["components"]["schemas"].get(name, {})
    for field, facts in found.get("properties", {}).items():
        kind = facts.get("type") or facts.get("$ref", "").rpartition("/")[2] or _("one of several")
        yield {
            "name": field,
            "required": field in found.get("required", []),
            "kind": " | ".join(kind) if isinstance(kind, list) else kind,
            "text": facts.get("description", ""),
        }


def codes() -> list[dict[str, Any]]:
    """Every code that an error may bear, of the rooms and of the framework, by name."""
    found = {
        code: {"code": code, "status": status, "text": sentence, "hint": "", "retry": status in {429, 503}}
        for status, (code, sentence) in FRAMEWORK_CODES.items()
    }
    waiting = [DomainError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not DomainError and kind.code not in found:
            found[kind.code] = {
                "code": kind.code,
                "status": kind.status,
                "text": " ".join((kind.__doc__ or "").replace("``", "").split()),
                "hint": kind.hint,
                "retry": kind.retryable,
            }
    return [found[code] for code in sorted(found)]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html", {"operations": list(operations())})


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    return render(request, "api/problems.html", {"codes": codes()})
