"""Jobs and their steps, erase and health evidence. Retried and cancelled with a reason, never edited."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from operations.base import ReadOnlyAdmin, ReadOnlyInline, note, reasoned, staff_actor
from provisioning import services
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job, JobStep


class StepInline(ReadOnlyInline):
    model = JobStep
    fields = readonly_fields = ("position", "name", "status", "attempts", "started_at", "finished_at", "detail")
    ordering = ("position",)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "ref",
        "kind",
        "show_state",
        "node",
        "reservation_ref",
        "failure_reason",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "kind", "failure_fault", "node__site")
    search_fields = ("ref", "reservation_ref", "node__name", "node__serial")
    list_select_related = ("node",)
    exclude = ("user_data_sealed", "private_key_sealed", "image_token_sha256")
    inlines = (StepInline,)
    actions_detail = ("retry", "cancel")

    @display(
        description=_("state"), label={"done": "success", "failed": "danger", "leased": "info", "waiting": "warning"}
    )
    def show_state(self, job: Job) -> str:
        return job.state

    @reasoned(description=_("Retry"), explanation=_("Begin again where it failed."), icon="replay")
    def retry(self, request: HttpRequest, reason: str, object_id: int) -> None:
        job = Job.objects.get(pk=object_id)
        note(request, subject_ref=job.ref, kind="job.retry_requested", reason=reason)
        services.retry_job(job=job, actor=staff_actor(request))

    @reasoned(
        description=_("Cancel"),
        explanation=_("Stop it. A node it worked on is cleaned before anyone else gets it."),
        icon="cancel",
        danger=True,
    )
    def cancel(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.cancel_job(job=Job.objects.get(pk=object_id), actor=staff_actor(request), reason=reason)


@admin.register(EraseRecord)
class EraseRecordAdmin(ReadOnlyAdmin):
    list_display = ("ref", "node", "drive_serial", "method", "standard", "reservation_ref", "finished_at")
    search_fields = ("ref", "drive_serial", "node__name", "reservation_ref")
    list_select_related = ("node",)


@admin.register(HealthRecord)
class HealthRecordAdmin(ReadOnlyAdmin):
    list_display = ("ref", "node", "phase", "passed", "gpu_model", "gpu_count", "checked_at")
    list_filter = ("phase", "passed")
    search_fields = ("ref", "node__name", "reservation_ref")
    list_select_related = ("node",)


@admin.register(HealthFinding)
class HealthFindingAdmin(ReadOnlyAdmin):
    list_display = ("node", "kind", "severity", "bars_allocation", "part", "since", "resolved_at")
    list_filter = ("kind", "severity", "bars_allocation")
    search_fields = ("node__name", "part")
    list_select_related = ("node",)
