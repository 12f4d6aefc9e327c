"""The fleet: sites, racks, types, nodes with their BMC, images. BMC passwords go in and never come out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import StackedInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from inventory.models import BmcEndpoint, Fabric, GpuModel, Image, Node, NodeType, Pool, Rack, Site, Stock
from inventory.states import NodeState
from operations.base import OperatorAdmin, ReadOnlyInline, note, reasoned, staff_actor
from provisioning import services
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job

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


@admin.register(Site)
class SiteAdmin(OperatorAdmin):
    list_display = ("name", "code", "city", "country", "power_envelope_kw", "is_open")
    search_fields = ("code", "name", "city")


@admin.register(Pool)
class PoolAdmin(OperatorAdmin):
    list_display = ("name", "code", "site")
    list_select_related = ("site",)
    search_fields = ("code", "name")


@admin.register(Fabric)
class FabricAdmin(OperatorAdmin):
    list_display = ("code", "site", "technology")
    list_select_related = ("site",)
    search_fields = ("code",)


@admin.register(Rack)
class RackAdmin(OperatorAdmin):
    list_display = ("code", "site", "power_limit_kw")
    list_select_related = ("site",)
    search_fields = ("code",)


@admin.register(GpuModel)
class GpuModelAdmin(OperatorAdmin):
    list_display = ("code", "vendor", "memory_gib", "tdp_w", "introduced_on")
    search_fields = ("code",)


@admin.register(NodeType)
class NodeTypeAdmin(OperatorAdmin):
    list_display = ("name", "code", "gpu_model", "gpu_count", "memory_gib", "max_draw_w", "is_offered")
    list_select_related = ("gpu_model",)
    search_fields = ("code", "name")


@admin.register(Image)
class ImageAdmin(OperatorAdmin):
    list_display = ("name", "version", "code", "default_user", "compression", "is_offered", "end_of_life_on")
    search_fields = ("code", "name", "version")


class BmcForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
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

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.instance.pk is None and not self.cleaned_data.get("new_password"):
            self.add_error("new_password", _("A new BMC needs its password."))
        return cleaned

    def save(self, commit: bool = True) -> BmcEndpoint:  # noqa: FBT001, FBT002 - the signature of the base class
        if self.cleaned_data["new_password"]:
            self.instance.set_password(self.cleaned_data["new_password"])
        return super().save(commit)


class BmcInline(StackedInline):
    model = BmcEndpoint
    form = BmcForm
    tab = True
    extra = 0
    max_num = 1
    can_delete = False


class JobInline(ReadOnlyInline):
    model = Job
    fields = readonly_fields = (
        "ref",
        "kind",
        "state",
        "reservation_ref",
        "failure_reason",
        "created_at",
        "finished_at",
    )
    show_change_link = True
    per_page = 20


class EraseInline(ReadOnlyInline):
    model = EraseRecord
    fields = readonly_fields = ("ref", "drive_serial", "method", "standard", "reservation_ref", "finished_at")
    per_page = 20


class HealthInline(ReadOnlyInline):
    model = HealthRecord
    fields = readonly_fields = ("ref", "phase", "passed", "gpu_model", "gpu_count", "reservation_ref", "checked_at")
    per_page = 20


class FindingInline(ReadOnlyInline):
    model = HealthFinding
    fields = readonly_fields = ("kind", "severity", "bars_allocation", "part", "since", "resolved_at")
    per_page = 20


@admin.register(Node)
class NodeAdmin(OperatorAdmin):
    list_display = ("name", "show_state", "site", "rack", "node_type", "holder", "is_cordoned", "state_changed_at")
    list_filter = ("state", "site", "node_type", "is_cordoned")
    search_fields = ("name", "serial", "ref", "boot_mac")
    list_select_related = ("site", "rack", "node_type", "holder")
    autocomplete_fields = ("site", "rack", "pool", "fabric", "node_type")
    readonly_fields = ("ref", "state", "state_changed_at", "state_reason", "holder", "enrolled_at")
    fieldsets = (
        (None, {"fields": ("name", "serial", "boot_mac", "node_type", "is_cordoned")}),
        (_("Place"), {"fields": ("site", "rack", "pool", "fabric")}),
        (_("State"), {"fields": ("state", "state_reason", "state_changed_at", "holder", "ref", "enrolled_at")}),
        (_("Tenant network"), {"fields": ("tenant_address", "tenant_ssh_port", "tenant_gateway", "switch_port")}),
        (_("Hardware bill"), {"fields": ("hardware_bill",)}),
    )
    inlines = (BmcInline, JobInline, FindingInline, HealthInline, EraseInline)
    actions_detail = ("take_in", "clean", "maintain", "quarantine")

    @display(description=_("state"), label=TONES)
    def show_state(self, node: Node) -> str:
        return node.state

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        Stock.objects.get_or_create(site=obj.site, node_type=obj.node_type)

    @reasoned(
        description=_("Take in"),
        explanation=_("Reach the BMC, compare the hardware with its bill, erase, check health; then it can be sold."),
        icon="login",
    )
    def take_in(self, request: HttpRequest, reason: str, object_id: int) -> None:
        node = _node(object_id)
        note(request, subject_ref=node.ref, kind="node.intake_requested", reason=reason)
        services.request_intake(node=node, actor=staff_actor(request))

    @reasoned(
        description=_("Clean again"),
        explanation=_("Erase every drive and check health before it is sold again."),
        icon="cleaning_services",
    )
    def clean(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.request_cleaning(node=_node(object_id), actor=staff_actor(request), reason=reason)

    @reasoned(
        description=_("Maintenance"),
        explanation=_("Take the node out of sale. It comes back through intake or cleaning alone."),
        icon="build",
    )
    def maintain(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.maintain(node=_node(object_id), actor=staff_actor(request), reason=reason)

    @reasoned(
        description=_("Quarantine"),
        explanation=_("Something is wrong with it. Its present work stops."),
        icon="coronavirus",
        danger=True,
    )
    def quarantine(self, request: HttpRequest, reason: str, object_id: int) -> None:
        services.quarantine(node=_node(object_id), actor=staff_actor(request), reason=reason)


def _node(object_id: int) -> Node:
    return Node.objects.select_related("site", "bmc").get(pk=object_id)
