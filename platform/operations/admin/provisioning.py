"""Jobs and their steps, erase and health evidence. Retried and cancelled with a reason, never edited."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from operations.acts import Values, note, reasoned, state_in
from operations.base import ReadOnlyAdmin, ReadOnlyInline, shown, staff_actor
from operations.filters import OpenFindingFilter, TroubledJobFilter
from provisioning import services
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job, JobStep
from provisioning.plans import label_of
from provisioning.states import LIVE, JobKind, JobState, StepState

TONES = {
    JobState.DONE: "success",
    JobState.FAILED: "danger",
    JobState.LEASED: "info",
    JobState.WAITING: "info",
    JobState.READY: "warning",
}
STEP_TONES = {StepState.DONE: "success", StepState.FAILED: "danger", StepState.RUNNING: "info"}
SEVERITY_TONES = {
    HealthFinding.Severity.CRITICAL: "danger",
    HealthFinding.Severity.WARNING: "warning",
    HealthFinding.Severity.INFO: "info",
}


_WHAT = (
    None,
    {"fields": (("show_kind", "show_state"), ("node", "reservation_ref"), "requested_by")},
)
_FAILURE = (_("Failure"), {"fields": (("failure_code", "failure_fault"), "failure_reason")})
_MORE = (
    (
        _("Times and lease"),
        {
            "classes": ["tab"],
            "fields": (
                ("created_at", "started_at"),
                ("finished_at", "state_changed_at"),
                ("run_at", "deadline_at"),
                ("lease_owner", "lease_expires_at"),
                ("fencing_token", "attempts"),
                "is_queued",
            ),
        },
    ),
    (_("Facts"), {"classes": ["tab"], "fields": ("image", "parameters", "tenant_id")}),
)


class StepInline(ReadOnlyInline):
    model = JobStep
    verbose_name_plural = _("steps")
    fields = readonly_fields = ("show_step", "show_status", "attempts", "show_started", "show_took", "show_detail")
    ordering = ("position",)
    related = ("job",)
    tab = False
    per_page = None

    @shown(description=_("step"))
    def show_step(self, step: JobStep) -> str:
        return label_of(kind=step.job.kind, name=step.name)

    @shown(description=_("state"))
    def show_status(self, step: JobStep) -> str:
        return step.status

    @shown(description=_("from"))
    def show_started(self, step: JobStep) -> str | None:
        return f"{step.started_at:%H:%M:%S}" if step.started_at else None

    @shown(description=_("took"))
    def show_took(self, step: JobStep) -> str | None:
        return took(step.started_at, step.finished_at)

    @shown(description=_("found"))
    def show_detail(self, step: JobStep) -> str | None:
        return "; ".join(f"{name}: {_short(value)}" for name, value in step.detail.items()) or None


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("ref", "show_kind", "show_state", "node", "show_why", "reservation_ref", "created_at", "show_took")
    list_filter = (TroubledJobFilter, "state", "kind", "failure_fault", "node__site")
    search_fields = ("ref", "reservation_ref", "node__name", "node__serial")
    list_select_related = ("node",)
    ordering = ("-pk",)
    readonly_fields = ("show_kind", "show_state")
    inlines = (StepInline,)
    actions_detail = ("retry", "cancel")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        failed = obj is not None and obj.failure_code
        return (_WHAT, *((_FAILURE,) if failed else ()), *_MORE)

    @shown(description=_("kind"), ordering="kind")
    def show_kind(self, job: Job) -> str:
        return job.kind

    @shown(description=_("state"), label=TONES, ordering="state")
    def show_state(self, job: Job) -> str:
        return job.state

    @shown(description=_("why it failed"))
    def show_why(self, job: Job) -> str | None:
        return f"{job.failure_code}: {job.failure_reason[:120]}" if job.failure_code else None

    @shown(description=_("took"))
    def show_took(self, job: Job) -> str | None:
        return took(job.started_at, job.finished_at)

    @reasoned(
        description=_("Retry"),
        explanation=_("Run it again from its first step. Intake, cleaning and release erase every drive anew."),
        icon="replay",
        when=lambda job: job.state == JobState.FAILED and job.kind not in {JobKind.DEPLOY, JobKind.POWER},
    )
    def retry(self, request: HttpRequest, job: Job, values: Values) -> None:
        note(request, subject_ref=job.ref, kind="job.retry_requested", reason=values["reason"])
        services.retry_job(job=job, actor=staff_actor(request))

    @reasoned(
        description=_("Cancel"),
        explanation=_(
            "Stop it. A deployment fails and its node is cleaned; a node in intake, cleaning or release is quarantined."
        ),
        icon="cancel",
        danger=True,
        when=state_in(*LIVE),
    )
    def cancel(self, request: HttpRequest, job: Job, values: Values) -> None:
        services.cancel_job(job=job, actor=staff_actor(request), reason=values["reason"])


@admin.register(EraseRecord)
class EraseRecordAdmin(ReadOnlyAdmin):
    list_display = ("ref", "node", "drive_serial", "method", "reservation_ref", "finished_at")
    list_filter = ("method", "node__site")
    search_fields = ("ref", "drive_serial", "node__name", "reservation_ref", "job__ref")
    list_select_related = ("node",)
    ordering = ("-pk",)


@admin.register(HealthRecord)
class HealthRecordAdmin(ReadOnlyAdmin):
    list_display = ("ref", "node", "phase", "show_passed", "gpu_model", "gpu_count", "checked_at")
    list_filter = ("phase", "passed", "node__site")
    search_fields = ("ref", "node__name", "reservation_ref", "job__ref")
    list_select_related = ("node",)
    ordering = ("-pk",)

    @shown(description=_("result"), label={"passed": "success", "failed": "danger"}, ordering="passed")
    def show_passed(self, record: HealthRecord) -> tuple[str, Any]:
        return ("passed", _("passed")) if record.passed else ("failed", _("failed"))


@admin.register(HealthFinding)
class HealthFindingAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "node", "show_severity", "show_bars", "since", "last_seen_at", "resolved_at")
    list_filter = (OpenFindingFilter, "kind", "severity", "bars_allocation", "node__site")
    search_fields = ("node__name", "part")
    list_select_related = ("node",)
    ordering = ("-pk",)

    @shown(description=_("severity"), label=SEVERITY_TONES, ordering="severity")
    def show_severity(self, finding: HealthFinding) -> str:
        return finding.severity

    @shown(description=_("sales"), label={"barred": "danger"})
    def show_bars(self, finding: HealthFinding) -> tuple[str, Any] | None:
        return ("barred", _("barred")) if finding.bars_allocation and finding.resolved_at is None else None


def took(started_at: Any, finished_at: Any) -> str | None:
    """``4 s``, ``12 min 30 s``, ``3 h 05 min``; None while it has no end."""
    if started_at is None or finished_at is None:
        return None
    whole = max(timedelta(0), finished_at - started_at)
    seconds = int(whole.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _short(value: Any) -> str:
    text = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
