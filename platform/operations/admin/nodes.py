"""Nodes with their BMC, jobs, promises and evidence. BMC passwords go in and never come out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from common.errors import Conflict
from common.state_machine import born
from inventory import services as inventory
from inventory.models import BmcEndpoint, Node, Stock
from inventory.states import NODE, NodeState
from operations.acts import Values, note, reasoned, state_in
from operations.base import OperatorAdmin, ReadOnlyInline, shown, staff_actor
from provisioning import services
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job
from reservations.models import Allocation

TONES = {
    NodeState.AVAILABLE: "success",
    NodeState.ACTIVE: "info",
    NodeState.DEPLOYING: "info",
    NodeState.CLEANING: "warning",
    NodeState.VERIFYING: "warning",
    NodeState.INSPECTING: "warning",
    NodeState.MAINTENANCE: "warning",
    NodeState.QUARANTINED: "danger",
    NodeState.RETAINED: "danger",
}
_IDLE = (NodeState.ENROLLED, NodeState.MAINTENANCE, NodeState.QUARANTINED)
_ON_SALE = (NodeState.AVAILABLE, NodeState.MAINTENANCE, NodeState.QUARANTINED)
_OURS = (
    NodeState.VERIFYING,
    NodeState.INSPECTING,
    NodeState.CLEANING,
    NodeState.AVAILABLE,
    NodeState.DEPLOYING,
)


class NodeForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    class Meta:
        model = Node
        fields: tuple[str, ...] = ()  # the admin's fieldsets say which
        labels = {"boot_mac": _("Boot MAC")}
        help_texts = {
            "serial": _("As dmidecode and the BMC say."),
            "boot_mac": _("Of the port that boots over the network."),
            "hardware_bill": _(
                "Leave it {} and the inspection fills it; when given, other hardware is refused: "
                '{"drives": [{"serial": "...", "name": "...", "model": "...", "size_bytes": 0}], '
                '"boot_drive": "...", "gpus": ["..."]}'
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "hardware_bill" in self.fields:
            self.fields["hardware_bill"].required = False  # an empty object is nothing to Django

    def clean_hardware_bill(self) -> dict[str, Any]:
        bill = self.cleaned_data["hardware_bill"] or {}
        if not isinstance(bill, dict) or set(bill) - {"drives", "boot_drive", "gpus"}:
            raise forms.ValidationError(_("An object with drives, boot_drive and gpus, or nothing."))
        drives, gpus = bill.get("drives", []), bill.get("gpus", [])
        if not isinstance(drives, list) or not all(isinstance(one, dict) and one.get("serial") for one in drives):
            raise forms.ValidationError(_("Each drive is an object with its serial number."))
        if not isinstance(gpus, list) or not all(isinstance(one, str) and one for one in gpus):
            raise forms.ValidationError(_("GPUs are a list of serial numbers."))
        if bill.get("boot_drive") and bill["boot_drive"] not in {one["serial"] for one in drives}:
            raise forms.ValidationError(_("The boot drive is not among the drives."))
        return bill

    def clean_boot_mac(self) -> str:
        return str(self.cleaned_data["boot_mac"]).strip().lower().replace("-", ":")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        site = cleaned.get("site") or getattr(self.instance, "site", None)
        for name in ("rack", "pool", "fabric"):
            part = cleaned.get(name)
            if part is not None and site is not None and part.site_id != site.pk:
                self.add_error(name, _("This stands at another site than the node."))
        moved = {"site", "node_type"} & set(self.changed_data)
        if self.instance.pk and moved and promises(self.instance).exists():
            raise forms.ValidationError(_("The node is promised to a tenant as it is: site and type have to stay."))
        return cleaned


class BmcForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    driver = forms.ChoiceField(
        label=_("Driver"),
        choices=(("redfish", "Redfish (HTTPS)"), ("ipmi", "IPMI 2.0 (RMCP+)")),
        widget=UnfoldAdminSelectWidget,
    )
    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=_("Write-only. Leave empty to keep the present one."),
    )

    class Meta:
        model = BmcEndpoint
        fields = ("driver", "address", "port", "username", "new_password", "cipher_suite", "certificate_sha256")
        help_texts = {
            "port": _("443 for Redfish, 623 for IPMI"),
            "cipher_suite": _("IPMI alone: 17, or 3 for old hardware"),
            "certificate_sha256": _("Pinned at the first contact. Empty it when the BMC was replaced."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if driver := self.instance.driver if self.instance.pk else "":
            known = dict(self.fields["driver"].choices)  # type: ignore[attr-defined]  # a ChoiceField
            # A driver that came by an entry point of its own stays choosable where it is in use.
            self.fields["driver"].choices = list({**known, driver: known.get(driver, driver)}.items())  # type: ignore[attr-defined]  # as above

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.instance.pk is None and not self.cleaned_data.get("new_password"):
            self.add_error("new_password", _("A new BMC needs its password."))
        return cleaned

    def save(self, commit: bool = True) -> BmcEndpoint:  # noqa: FBT001, FBT002 - the signature of the base class
        if self.cleaned_data["new_password"]:
            self.instance.set_password(self.cleaned_data["new_password"])
        moved = {"address", "port"} & set(self.changed_data)
        if moved and "certificate_sha256" not in self.changed_data:
            self.instance.certificate_sha256 = ""  # somebody else may answer there: the next intake pins anew
        row: BmcEndpoint = super().save(commit)
        return row


class BmcInline(StackedInline):  # type: ignore[misc]  # unfold carries no types
    model = BmcEndpoint
    form = BmcForm
    verbose_name = verbose_name_plural = _("BMC")
    tab = True
    hide_title = True
    extra = 1
    min_num = 1
    max_num = 1
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_staff)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may enter nodes enters their BMC."""
        return bool(request.user.has_perm("inventory.add_node") or request.user.has_perm("inventory.change_node"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = BmcForm.Meta.fields
        return names if self.has_change_permission(request, obj) else tuple(n for n in names if n != "new_password")


class JobInline(ReadOnlyInline):
    model = Job
    verbose_name_plural = _("jobs")
    fields = readonly_fields = (
        "ref",
        "show_kind",
        "show_state",
        "reservation_ref",
        "failure_reason",
        "created_at",
        "finished_at",
    )
    ordering = ("-pk",)
    show_change_link = True

    @shown(description=_("kind"))
    def show_kind(self, job: Job) -> str:
        return job.kind

    @shown(description=_("state"))
    def show_state(self, job: Job) -> str:
        return job.state


class PromiseInline(ReadOnlyInline):
    model = Allocation
    verbose_name_plural = _("promises")
    fields = readonly_fields = ("reservation", "tenant", "period", "is_live", "deployed_at", "cleaned_at")
    ordering = ("-pk",)
    related = ("reservation", "tenant")


class EraseInline(ReadOnlyInline):
    model = EraseRecord
    verbose_name_plural = _("erasures")
    fields = readonly_fields = ("ref", "drive_serial", "method", "standard", "reservation_ref", "finished_at")
    ordering = ("-pk",)


class HealthInline(ReadOnlyInline):
    model = HealthRecord
    verbose_name_plural = _("health")
    fields = readonly_fields = ("ref", "phase", "passed", "gpu_model", "gpu_count", "reservation_ref", "checked_at")
    ordering = ("-pk",)


class FindingInline(ReadOnlyInline):
    model = HealthFinding
    verbose_name_plural = _("findings")
    fields = readonly_fields = ("kind", "severity", "bars_allocation", "part", "since", "resolved_at")
    ordering = ("-pk",)


@admin.register(Node)
class NodeAdmin(OperatorAdmin):
    form = NodeForm
    list_display = ("name", "show_state", "show_cordon", "site", "rack", "node_type", "holder", "state_changed_at")
    list_filter = ("state", "site", "node_type", "is_cordoned")
    search_fields = ("name", "serial", "ref", "boot_mac", "tenant_address")
    list_select_related = ("site", "rack", "node_type", "holder")
    autocomplete_fields = ("site", "rack", "pool", "fabric", "node_type")
    readonly_fields = (
        "ref",
        "show_state",
        "state_changed_at",
        "state_reason",
        "holder",
        "enrolled_at",
        "show_cordon",
    )
    locked_once_added = ("name",)
    inlines = (BmcInline, JobInline, PromiseInline, FindingInline, HealthInline, EraseInline)
    actions_detail = ("take_in", "clean", "cordon", "uncordon", "maintain", "quarantine", "retire")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        state = (
            (_("State"), {"fields": (("show_state", "show_cordon"), "state_reason", ("state_changed_at", "holder"))})
            if obj is not None
            else None
        )
        papers = (
            ("name", "serial"),
            ("boot_mac", "node_type"),
            *((("ref", "enrolled_at"),) if obj is not None else ()),
        )
        rest = (
            (_("Papers"), {"fields": papers}),
            (_("Place"), {"fields": (("site", "rack"), ("pool", "fabric"))}),
            (
                _("Tenant network"),
                {"fields": (("tenant_address", "tenant_ssh_port"), ("tenant_gateway", "switch_port"))},
            ),
            (_("Hardware bill"), {"fields": ("hardware_bill",)}),
        )
        return rest if state is None else (state, *rest)

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj is not None else (BmcInline,)

    @shown(description=_("state"), label=TONES, ordering="state")
    def show_state(self, node: Node) -> str:
        return node.state

    @shown(description=_("sales"), label={"cordoned": "warning"}, ordering="is_cordoned")
    def show_cordon(self, node: Node) -> tuple[str, Any] | None:
        return ("cordoned", _("cordoned")) if node.is_cordoned else None

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        if change:
            super().save_model(request, obj, form, change)
        else:
            obj.save()
            details = {"name": obj.name, "serial": obj.serial}
            born(machine=NODE, subject=obj, actor=staff_actor(request), details=details)
        Stock.objects.get_or_create(site=obj.site, node_type=obj.node_type)

    @reasoned(
        description=_("Take in"),
        explanation=_(
            "Reach the BMC, compare the hardware with its bill, erase every drive, check health; then it can be sold."
        ),
        icon="login",
        when=state_in(*_IDLE),
    )
    def take_in(self, request: HttpRequest, node: Node, values: Values) -> None:
        note(request, subject_ref=node.ref, kind="node.intake_requested", reason=values["reason"])
        services.request_intake(node=node, actor=staff_actor(request))

    @reasoned(
        description=_("Clean again"),
        explanation=_("Erase every drive and check health before it is sold again."),
        icon="cleaning_services",
        when=state_in(*_ON_SALE),
    )
    def clean(self, request: HttpRequest, node: Node, values: Values) -> None:
        services.request_cleaning(node=node, actor=staff_actor(request), reason=values["reason"])

    @reasoned(
        description=_("Cordon"),
        explanation=_("No new reservations; what is promised already stays."),
        icon="front_hand",
        when=lambda node: not node.is_cordoned and node.state != NodeState.RETIRED,
    )
    def cordon(self, request: HttpRequest, node: Node, values: Values) -> None:
        inventory.set_cordon(node=node, is_cordoned=True, actor=staff_actor(request), reason=values["reason"])

    @reasoned(
        description=_("Uncordon"),
        explanation=_("New reservations may have it again."),
        icon="pan_tool_alt",
        when=lambda node: node.is_cordoned,
    )
    def uncordon(self, request: HttpRequest, node: Node, values: Values) -> None:
        inventory.set_cordon(node=node, is_cordoned=False, actor=staff_actor(request), reason=values["reason"])

    @reasoned(
        description=_("Maintenance"),
        explanation=_("Take the node out of sale. It comes back through intake or cleaning alone."),
        icon="build",
        when=state_in(NodeState.ENROLLED, NodeState.AVAILABLE, NodeState.QUARANTINED),
    )
    def maintain(self, request: HttpRequest, node: Node, values: Values) -> None:
        services.maintain(node=node, actor=staff_actor(request), reason=values["reason"])

    @reasoned(
        description=_("Quarantine"),
        explanation=_("Something is wrong with it. Its present work stops; a deployment under way fails."),
        icon="coronavirus",
        danger=True,
        when=state_in(*_OURS),
    )
    def quarantine(self, request: HttpRequest, node: Node, values: Values) -> None:
        services.quarantine(node=node, actor=staff_actor(request), reason=values["reason"])

    @reasoned(
        description=_("Retire"),
        explanation=_("The node leaves the fleet for good. Its papers and evidence stay; it cannot come back."),
        icon="logout",
        danger=True,
        when=state_in(*_IDLE),
    )
    def retire(self, request: HttpRequest, node: Node, values: Values) -> None:
        if (promise := promises(node).first()) is not None:
            raise Conflict(
                _("%(node)s is promised to reservation %(ref)s") % {"node": node.name, "ref": promise.reservation.ref},
                hint=str(_("cordon it and wait until the reservation is over")),
            )
        services.retire(node=node, actor=staff_actor(request), reason=values["reason"])


def promises(node: Node) -> Any:
    """Allocations of the node that have not ended."""
    unended = Q(period__endswith__gt=timezone.now()) | Q(period__upper_inf=True)
    return Allocation.objects.filter(unended, node=node, is_live=True).select_related("reservation").order_by("pk")
