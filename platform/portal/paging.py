"""Pages of a long list by a cursor, so that the thousandth page costs what the first does."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

_M = TypeVar("_M", bound=Model)
PAGE_SIZE = 25


@dataclass(frozen=True, kw_only=True)
class Page(Generic[_M]):
    """``older`` is the cursor of the next page, empty on the last; ``is_first`` tells whether newer ones exist."""

    items: list[_M]
    older: str
    is_first: bool


def page_of(*, rows: QuerySet[_M], before: str, size: int = PAGE_SIZE) -> Page[_M]:
    """The rows below the one whose ref is ``before`` (all from the newest when empty or unknown); newest first."""
    ordered = rows.order_by("-pk")
    found = ordered.filter(pk__lt=rows.filter(ref=before).order_by().values("pk")[:1]) if before else ordered
    items = list(found[: size + 1])
    more = len(items) > size
    items = items[:size]
    return Page(items=items, older=str(getattr(items[-1], "ref", "")) if more else "", is_first=not before)
