"""What the fleet is made of: sites, pools, fabrics, racks, GPU models, node types, images."""

from pathlib import PurePosixPath
from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import RegexValidator
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from inventory.models import Fabric, GpuModel, Image, NodeType, Pool, Rack, Site
from operations.base import OperatorAdmin, shown

SHA256 = RegexValidator(r"^[0-9a-f]{64}$", _("64 hexadecimal digits in lower case, as sha256sum prints them"))


@admin.register(Site)
class SiteAdmin(OperatorAdmin):
    list_display = ("name", "code", "city", "country", "power_envelope_kw", "show_open")
    list_filter = ("is_open", "country")
    search_fields = ("code", "name", "city")
    locked_once_added = ("code",)
    fieldsets = (
        (None, {"fields": (("name", "code"), "is_open")}),
        (_("Place"), {"fields": (("city", "country"), ("latitude", "longitude"))}),
        (_("Power"), {"fields": ("power_envelope_kw",)}),
    )

    @shown(description=_("sales"), label={"open": "success", "closed": "warning"})
    def show_open(self, site: Site) -> tuple[str, Any]:
        return ("open", _("open")) if site.is_open else ("closed", _("closed"))


@admin.register(Pool)
class PoolAdmin(OperatorAdmin):
    list_display = ("name", "code", "site")
    list_filter = ("site",)
    list_select_related = ("site",)
    search_fields = ("code", "name")
    locked_once_added = ("code", "site")


@admin.register(Fabric)
class FabricAdmin(OperatorAdmin):
    list_display = ("code", "site", "technology")
    list_filter = ("site",)
    list_select_related = ("site",)
    search_fields = ("code",)
    locked_once_added = ("code", "site")


@admin.register(Rack)
class RackAdmin(OperatorAdmin):
    list_display = ("code", "site", "power_limit_kw", "show_nodes")
    list_filter = ("site",)
    list_select_related = ("site",)
    search_fields = ("code",)
    locked_once_added = ("code", "site")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Rack]:
        rows: models.QuerySet[Rack] = super().get_queryset(request)
        return rows.annotate(node_count=models.Count("nodes"))

    @shown(description=_("nodes"), ordering="node_count")
    def show_nodes(self, rack: Any) -> int:
        return int(rack.node_count)


@admin.register(GpuModel)
class GpuModelAdmin(OperatorAdmin):
    list_display = ("code", "vendor", "memory_gib", "tdp_w", "introduced_on")
    search_fields = ("code",)
    locked_once_added = ("code",)


@admin.register(NodeType)
class NodeTypeAdmin(OperatorAdmin):
    list_display = ("name", "code", "gpu_model", "gpu_count", "memory_gib", "max_draw_w", "show_offered")
    list_filter = ("is_offered", "gpu_model")
    list_select_related = ("gpu_model",)
    search_fields = ("code", "name")
    locked_once_added = ("code", "gpu_model", "gpu_count")
    fieldsets = (
        (None, {"fields": (("name", "code"), "is_offered")}),
        (_("GPUs"), {"fields": (("gpu_model", "gpu_count"),)}),
        (
            _("The rest of the machine"),
            {
                "fields": (
                    ("cpu_cores", "memory_gib"),
                    ("drive_gib", "drive_count"),
                    ("nic_summary", "max_draw_w"),
                )
            },
        ),
    )

    @shown(description=_("catalogue"), label={"offered": "success", "hidden": "warning"})
    def show_offered(self, node_type: NodeType) -> tuple[str, Any]:
        return ("offered", _("offered")) if node_type.is_offered else ("hidden", _("not offered"))


class ImageForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """A version's content is entered once; the file is looked for when a node asks for it, not here."""

    def clean_sha256(self) -> str:
        value = str(self.cleaned_data["sha256"]).strip().lower()
        SHA256(value)
        return value

    def clean_path(self) -> str:
        path = PurePosixPath(str(self.cleaned_data["path"]))
        if path.is_absolute() or ".." in path.parts:
            raise forms.ValidationError(_("A file below the folder of images, without .. in its path."))
        return str(path)


@admin.register(Image)
class ImageAdmin(OperatorAdmin):
    """A version of an image. What the file contains never changes: another checksum needs another version."""

    form = ImageForm
    list_display = ("name", "version", "code", "default_user", "compression", "show_offered", "end_of_life_on")
    list_filter = ("is_offered", "code")
    search_fields = ("code", "name", "version", "sha256")
    locked_once_added = ("code", "version", "path", "compression", "sha256", "size_bytes", "default_user")
    fieldsets = (
        (None, {"fields": ("name", ("code", "version"), "is_offered", "end_of_life_on")}),
        (_("File"), {"fields": ("path", "sha256", ("compression", "size_bytes"))}),
        (_("On the node"), {"fields": (("default_user", "min_disk_gib"),)}),
    )

    @shown(description=_("choice"), label={"offered": "success", "hidden": "warning"})
    def show_offered(self, image: Image) -> tuple[str, Any]:
        return ("offered", _("offered")) if image.is_offered else ("hidden", _("not offered"))
