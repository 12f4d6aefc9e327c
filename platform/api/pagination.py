"""Cursor pagination: stable under inserts, opaque, and without counting rows."""

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from common.errors import InvalidRequest

if TYPE_CHECKING:  # Django REST framework imports this module while its views are being made
    from rest_framework.views import APIView

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 200
_VERSION = "1:"


class BadCursor(InvalidRequest):
    """The cursor was not made by this list."""

    code = "bad-cursor"
    hint = "start again without a cursor; take next_cursor as it is"


def encode_cursor(position: str) -> str:
    return base64.urlsafe_b64encode((_VERSION + position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Raises BadCursor for what ``encode_cursor`` cannot have made."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        raise BadCursor(_("The cursor cannot be read."), field="cursor") from None
    position = text.removeprefix(_VERSION)
    if position == text or not position.replace("_", "").isalnum() or len(position) > 60:
        raise BadCursor(_("The cursor cannot be read."), field="cursor")
    return position


class CursorPagination(BasePagination):
    """Rows newest first by ``ref``, a ULID that sorts by time, as ``{"results": [], "next_cursor": null}``.

    A view may name another unique, ordered text column in ``cursor_field``.
    """

    def __init__(self) -> None:
        self.next_cursor: str | None = None

    def paginate_queryset(
        self,
        queryset: QuerySet[Any] | Sequence[Any],
        request: Request,
        view: "APIView | None" = None,
    ) -> list[Any]:
        assert isinstance(queryset, QuerySet)  # noqa: S101 - lists are whole already and come without pages
        field = str(getattr(view, "cursor_field", "ref"))
        limit = _limit(request)
        cursor = request.query_params.get("cursor", "")
        rows = queryset.order_by(f"-{field}")
        if cursor:
            rows = rows.filter(**{f"{field}__lt": decode_cursor(cursor)})
        page = list(rows[: limit + 1])
        if len(page) > limit:
            page = page[:limit]
            self.next_cursor = encode_cursor(str(getattr(page[-1], field)))
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next_cursor": self.next_cursor})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next_cursor"],
            "properties": {
                "results": schema,
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Pass as ?cursor= for the next page; null on the last one.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: "APIView") -> list[dict[str, Any]]:  # noqa: ARG002 - the base's
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "next_cursor of the page before, unchanged.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "description": f"Rows per page, 1 to {LARGEST_LIMIT}.",
                "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
            },
        ]


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LARGEST_LIMIT):
        raise InvalidRequest(_("limit is a number from 1 to %(most)d.") % {"most": LARGEST_LIMIT}, field="limit")
    return int(text)
