"""The audit log as the operator sees it: to be read, not to be changed; the database refuses it too."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from compliance.audit.models import AuditEvent, Checkpoint
from operations.base import ReadOnlyAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("occurred_at", "show_what", "subject_ref", "show_who", "log_tenant_id", "index", "request_id")
    list_filter = ("actor_kind",)
    search_fields = ("=subject_ref", "=context_ref", "=ref", "=request_id", "kind")
    ordering = ("-id",)
    fields = readonly_fields = (
        "ref", "occurred_at", "kind", "show_what", "show_details", "subject_ref", "context_ref", "show_who", "actor_role",
        "request_id", "log_tenant_id", "index",
    )  # fmt: skip

    @display(description=_("what"))
    def show_what(self, event: AuditEvent) -> str:
        return event.what

    @display(description=_("who"))
    def show_who(self, event: AuditEvent) -> str:
        return event.who

    @display(description=_("details"))
    def show_details(self, event: AuditEvent) -> str:
        return ", ".join(f"{name}: {value}" for name, value in event.details.items()) or "-"


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("log_tenant_id", "size", "created_at")
    fields = readonly_fields = ("log_tenant_id", "size", "created_at", "show_note")

    @display(description=_("signed note"))
    def show_note(self, checkpoint: Checkpoint) -> str:
        return bytes(checkpoint.note).decode()
