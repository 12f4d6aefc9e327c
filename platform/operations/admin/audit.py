"""The audit log as the operator sees it: to be read, not to be changed; the database refuses it too."""

from typing import Any

from django.contrib import admin
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from common.models import OutboxEvent
from compliance.audit.models import AuditEvent, Checkpoint
from operations.base import ReadOnlyAdmin, shown
from operations.filters import NewsFilter, UnsealedFilter

_LOG = Tenant.objects.filter(pk=OuterRef("log_tenant_id")).values("legal_name")[:1]


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("occurred_at", "show_what", "subject_ref", "show_who", "show_log", "index")
    list_display_links = ("occurred_at", "show_what")
    list_filter = (UnsealedFilter, "actor_kind")
    search_fields = ("subject_ref__exact", "context_ref__exact", "ref__exact", "request_id__exact", "kind")
    search_help_text = _("An id (res_..., nod_..., job_...), a request's id, or a kind of event")
    ordering = ("-id",)
    readonly_fields = ("show_what", "show_details", "show_who", "show_log")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("show_what", "kind"),
                    ("occurred_at", "show_log"),
                    ("subject_ref", "context_ref"),
                    "show_details",
                )
            },
        ),
        (_("Who"), {"fields": (("show_who", "actor_role"), ("actor_ref", "request_id"))}),
        (_("Place in the log"), {"fields": (("index", "ref"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        person = User.objects.filter(ref=OuterRef("actor_ref")).values("email")[:1]
        rows: QuerySet[AuditEvent] = super().get_queryset(request)
        return rows.annotate(person=Subquery(person), log_name=Subquery(_LOG))

    @shown(description=_("what"), ordering="kind")
    def show_what(self, event: AuditEvent) -> str:
        return event.what

    @shown(description=_("who"), ordering="actor_ref")
    def show_who(self, event: Any) -> str:
        return str(event.person or event.who)

    @shown(description=_("log"), ordering=F("log_tenant_id").asc(nulls_first=True))
    def show_log(self, event: Any) -> Any:
        return event.log_name or _("platform")

    @shown(description=_("details"))
    def show_details(self, event: AuditEvent) -> str:
        return ", ".join(f"{name}: {value}" for name, value in event.details.items()) or "-"


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "show_log", "size")
    readonly_fields = ("show_log", "show_note")
    fieldsets = ((None, {"fields": (("show_log", "size"), "created_at", "show_note")}),)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Checkpoint]:
        rows: QuerySet[Checkpoint] = super().get_queryset(request)
        return rows.annotate(log_name=Subquery(_LOG))

    @shown(description=_("log"))
    def show_log(self, checkpoint: Any) -> Any:
        return checkpoint.log_name or _("platform")

    @shown(description=_("signed note"))
    def show_note(self, checkpoint: Checkpoint) -> str:
        return bytes(checkpoint.note).decode()


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    """News between the rooms. One that a handler refuses is tried again by itself, with growing pauses."""

    list_display = ("kind", "aggregate", "show_state", "attempts", "occurred_at", "dispatched_at", "show_error")
    list_filter = (NewsFilter,)
    search_fields = ("aggregate", "kind")
    ordering = ("-pk",)

    @shown(description=_("delivery"), label={"delivered": "success", "waiting": "info", "failing": "danger"})
    def show_state(self, news: OutboxEvent) -> tuple[str, Any]:
        if news.dispatched_at is not None:
            return "delivered", _("delivered")
        return ("failing", _("refused")) if news.attempts else ("waiting", _("waiting"))

    @shown(description=_("last error"))
    def show_error(self, news: OutboxEvent) -> str | None:
        return news.last_error[:160] or None
