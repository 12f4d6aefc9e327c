"""Filters of lists that the overview links to."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from operations import attention


class _Filter(SimpleListFilter):
    """One choice after another, each a queryset of ``attention``."""

    choices_shown: tuple[tuple[str, Any, Any], ...]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, label) for value, label, _rows in self.choices_shown]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for value, _label, rows in self.choices_shown:
            if self.value() == value:
                return queryset.filter(pk__in=rows().values("pk"))
        return queryset


class TroubledJobFilter(_Filter):
    title = _("attention")
    parameter_name = "attention"
    choices_shown = (
        ("failed", _("Failed in the last day"), attention.failed_jobs),
        ("overdue", _("Overdue"), attention.overdue_jobs),
    )


class OpenFindingFilter(_Filter):
    title = _("open")
    parameter_name = "open"
    choices_shown = (("yes", _("Open"), attention.open_findings),)


class FailedReservationFilter(_Filter):
    title = _("attention")
    parameter_name = "attention"
    choices_shown = (("failed", _("Failed in the last day"), attention.failed_reservations),)


class NewsFilter(_Filter):
    title = _("delivery")
    parameter_name = "delivery"
    choices_shown = (
        ("failing", _("Refused by a handler"), attention.failing_news),
        ("waiting", _("Not delivered yet"), attention.waiting_news),
    )


class UnsealedFilter(_Filter):
    title = _("sealing")
    parameter_name = "sealing"
    choices_shown = (("late", _("Not sealed for a minute"), attention.unsealed_events),)
