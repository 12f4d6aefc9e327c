"""What every page of the operator's admin shares: who acts, what cannot be edited, and acts that want a reason."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from common.actors import Actor, ActorKind
from common.clock import database_now
from common.errors import DomainError
from compliance.audit import services as audit


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


def audit_edit(request: HttpRequest, *, obj: models.Model, act: str, fields: list[str]) -> None:
    """An edit in the admin is an act like any other: which fields, never their values."""
    audit.record(
        log_tenant_id=None,
        kind=f"{obj._meta.model_name}.{act}",  # noqa: SLF001 - Django's documented model API
        subject_ref=str(getattr(obj, "ref", "") or getattr(obj, "code", "") or obj.pk),
        actor=staff_actor(request),
        details={"fields": sorted(fields)},
        at=database_now(),
    )


class OperatorAdmin(ModelAdmin):
    """A model the operator may edit; nothing that a machine depends on is ever deleted from here."""

    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        audit_edit(request, obj=obj, act="changed" if change else "added", fields=form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_formset(request, form, formset, change)
        for changed, fields in getattr(formset, "changed_objects", []):
            audit_edit(request, obj=changed, act="changed", fields=fields)
        for added in getattr(formset, "new_objects", []):
            audit_edit(request, obj=added, act="added", fields=[])


class ReadOnlyAdmin(OperatorAdmin):
    """Shown, never edited: ledger, invoices, audit rows, jobs. Changes come from actions that call a service."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    extra = 0
    can_delete = False
    tab = True

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class ReasonForm(BaseDialogForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("Kept in the audit log with your name and the time."),
    )


def reasoned(*, description: Any, explanation: Any, icon: str, danger: bool = False) -> Callable[[Any], Any]:
    """An action on one object that asks why first. The method gets ``(request, reason, object_id)``."""

    def decorate(method: Callable[..., Any]) -> Any:
        def run(admin: Any, request: HttpRequest, form: ReasonForm, object_id: int) -> HttpResponse:
            attempt(
                request,
                run=lambda: method(admin, request, form.cleaned_data["reason"], object_id),
                done=_("Done: %(what)s") % {"what": description},
            )
            return HttpResponse(headers={"HX-Redirect": request.headers.get("HX-Current-URL", "../")})

        run.__name__ = method.__name__
        return action(
            description=description,
            icon=icon,
            url_path=method.__name__.replace("_", "-"),
            permissions=["view"],
            variant="danger" if danger else "default",
            dialog={
                "title": description,
                "description": explanation,
                "form_class": ReasonForm,
                "form_submit_text": description,
            },
        )(run)

    return decorate


def note(request: HttpRequest, *, subject_ref: str, kind: str, reason: str) -> None:
    """Why the operator did it, in the platform's log, beside the event of the act itself."""
    audit.record(
        log_tenant_id=None,
        kind=kind,
        subject_ref=subject_ref,
        actor=staff_actor(request),
        details={"reason": reason},
        at=database_now(),
    )


def attempt(request: HttpRequest, *, run: Callable[[], Any], done: Any) -> bool:
    """One domain call; a foreseen error becomes a message with its hint, and nothing was changed then."""
    try:
        with transaction.atomic():
            run()
    except DomainError as error:
        messages.error(request, f"{error.message}. {error.hint}".strip())
        return False
    messages.success(request, str(done))
    return True
