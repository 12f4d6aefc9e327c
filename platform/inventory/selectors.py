"""Reads of what the operator offers to everybody: sites, node types, images. Nothing here belongs to a tenant."""

from django.db.models import QuerySet

from inventory.models import Image, NodeType, Site


def open_sites() -> QuerySet[Site]:
    return Site.objects.filter(is_open=True)


def offered_node_types() -> QuerySet[NodeType]:
    """With their GPU model."""
    return NodeType.objects.filter(is_offered=True).select_related("gpu_model")


def offered_images() -> list[Image]:
    """Of each image the newest version on offer, by name; one query."""
    rows = Image.objects.filter(is_offered=True).order_by("code", "-added_at", "-pk").distinct("code")
    return sorted(rows, key=lambda image: image.name)
