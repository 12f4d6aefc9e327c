"""What every page of the operator's admin shares: who acts, who may look, what cannot be edited."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from unfold.admin import ModelAdmin, TabularInline
from unfold.dataclasses import UnfoldAction
from unfold.decorators import display

from common.actors import Actor, ActorKind
from common.clock import database_now
from compliance.audit import services as audit

MOST_COUNTED = 10_000
_Method = TypeVar("_Method", bound=Callable[..., Any])
# As the services that enroll these things name them in the audit log.
_LOGGED_AS = {"gpumodel": "gpu_model", "nodetype": "node_type"}


def shown(
    *, description: Any, label: Mapping[Any, str] | None = None, ordering: Any = None
) -> Callable[[_Method], _Method]:
    """A column or a fact made by a method. ``label`` gives a colour to each value, or to the first of (value, text)."""
    made: Callable[[_Method], _Method] = display(description=description, label=label, ordering=ordering)
    return made


def staff_actor(request: HttpRequest) -> Actor:
    """The member of staff behind this request, as the audit log names them."""
    user = request.user
    return Actor(
        kind=ActorKind.STAFF,
        ref=getattr(user, "ref", ""),
        user_id=user.pk,
        role="superuser" if user.is_superuser else "staff",
        request_id=str(request.META.get("chapek.request_id", "")),
    )


def is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)


def subject_of(obj: models.Model) -> str:
    """The name under which the audit log keeps what happened to a row."""
    owner = getattr(obj, "node", obj)
    if ref := getattr(owner, "ref", ""):
        return str(ref)
    name = str(obj._meta.model_name)  # noqa: SLF001 - Django's documented model API
    parts = [getattr(obj, "code", None) or obj.pk, getattr(obj, "version", None)]
    return ":".join([_LOGGED_AS.get(name, name), *(str(part) for part in parts if part is not None)])[:80]


def audit_edit(request: HttpRequest, *, obj: models.Model, act: str, fields: list[str]) -> None:
    """An edit in the admin is an act like any other: which fields, never their values."""
    audit.record(
        log_tenant_id=None,
        kind=f"{obj._meta.model_name}.{act}",  # noqa: SLF001 - Django's documented model API
        subject_ref=subject_of(obj),
        actor=staff_actor(request),
        details={"fields": sorted(fields)},
        at=database_now(),
    )


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts no further than MOST_COUNTED: a list of a table that grows for years stays quick."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:MOST_COUNTED].count())


class OperatorAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """A model the operator may edit; nothing that a machine depends on is ever deleted from here.

    Every member of staff may look. Adding, editing and acting need the model's own permissions (Django's ``add_`` and
    ``change_``), which superusers have.
    """

    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    warn_unsaved_form = True
    list_filter_submit = False
    compressed_fields = True
    locked_once_added: tuple[str, ...] = ()
    """Fields that name the thing elsewhere (in ids, queues, files), so that they are entered once."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_staff(request)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whether this member of staff may act on rows of this model: Django's permission to change it."""
        meta = self.opts
        return is_staff(request) and request.user.has_perm(f"{meta.app_label}.change_{meta.model_name}")

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, *self.locked_once_added) if obj is not None else fixed

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[UnfoldAction]:
        """Only what is possible with the row as it is; the service has the last word."""
        allowed = super().get_actions_detail(request, object_id)
        if not allowed:
            return []
        row = self.get_object(request, unquote(str(object_id)))
        return [one for one in allowed if row is None or getattr(one.method, "when", _always)(row)]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The audit log is the history: it cannot be changed and knows more than edits."""
        row = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        target = reverse("admin:audit_auditevent_changelist")
        return HttpResponseRedirect(f"{target}?{urlencode({'q': subject_of(row)})}")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        audit_edit(request, obj=obj, act="changed" if change else "added", fields=form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_formset(request, form, formset, change)
        for changed, fields in getattr(formset, "changed_objects", []):
            audit_edit(request, obj=changed, act="changed", fields=fields)
        for added in getattr(formset, "new_objects", []):
            audit_edit(request, obj=added, act="added", fields=[])


def _always(_row: models.Model) -> bool:
    return True


class ReadOnlyAdmin(OperatorAdmin):
    """Shown, never edited: ledger, invoices, audit rows, jobs. Changes come from acts that call a service."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):  # type: ignore[misc]  # unfold carries no types
    extra = 0
    can_delete = False
    tab = True
    hide_title = True
    ordering: tuple[str, ...] = ("pk",)
    per_page: int | None = 20
    related: tuple[str, ...] = ()
    """Rows fetched along, so that a table costs one query."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.related) if self.related else rows

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_staff(request)

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False
