"""Acts: one service call on one row, asked for in a dialog that wants a reason, refused in words."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from common.clock import database_now
from common.errors import DomainError
from compliance.audit import services as audit
from operations.base import staff_actor

Values = dict[str, Any]


class ReasonForm(BaseDialogForm):  # type: ignore[misc]  # unfold carries no types
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("Kept in the audit log with your name and the time."),
    )


class AmountForm(ReasonForm):
    amount = forms.DecimalField(
        label=_("Amount, EUR"),
        max_digits=12,
        decimal_places=2,
        validators=[MinValueValidator(0)],
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}),
    )
    field_order = ("amount", "reason")


class LimitForm(ReasonForm):
    max_nodes = forms.IntegerField(
        label=_("Nodes at once"), min_value=0, max_value=100_000, widget=UnfoldAdminIntegerFieldWidget
    )
    field_order = ("max_nodes", "reason")


def reasoned(
    *,
    description: Any,
    explanation: Any,
    icon: str,
    danger: bool = False,
    form_class: type[ReasonForm] = ReasonForm,
    when: Callable[[Any], bool] | None = None,
) -> Callable[[Any], Any]:
    """An act on one row. The method gets ``(request, row, values)``, makes one service call and returns nothing.

    ``values`` are the dialog's cleaned fields, ``reason`` among them. ``when`` says for which rows the button is
    shown. Needs the permission to change the model; a DomainError becomes a message, and nothing was changed then.
    """

    def decorate(method: Callable[..., Any]) -> Any:
        def run(admin: Any, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
            row = get_object_or_404(admin.get_queryset(request), pk=object_id)
            _attempt(
                request,
                run=lambda: method(admin, request, row, form.cleaned_data),
                done=_("Done: %(what)s") % {"what": description},
            )
            return _back(admin, request, row)

        run.__name__ = method.__name__
        made = action(
            description=description,
            icon=icon,
            url_path=method.__name__.replace("_", "-"),
            permissions=["act"],
            variant=ActionVariant.DANGER if danger else ActionVariant.DEFAULT,
            dialog={
                "title": description,
                "description": explanation,
                "form_class": form_class,
                "form_submit_text": description,
            },
        )(run)
        if when is not None:
            made.when = when  # read by OperatorAdmin.get_actions_detail
        return made

    return decorate


def state_in(*states: str) -> Callable[[Any], bool]:
    """For ``when``: the row is in one of these states."""
    return lambda row: row.state in states


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


def _attempt(request: HttpRequest, *, run: Callable[[], Any], done: Any) -> None:
    try:
        with transaction.atomic():
            run()
    except DomainError as error:
        messages.error(request, said(error))
    else:
        messages.success(request, str(done))


def said(error: DomainError) -> str:
    """A refusal as sentences: what is wrong, and what to do."""
    parts = [text.strip().rstrip(".") for text in (str(error.message), str(error.hint)) if text.strip()]
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in parts)


def _back(admin: Any, request: HttpRequest, row: models.Model) -> HttpResponse:
    """To the row's page, which shows the message: by htmx out of the dialog, else by a plain redirect."""
    meta = admin.opts
    url = reverse(f"{admin.admin_site.name}:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
