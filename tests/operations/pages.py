"""Every page that is registered in the admin, for tests that go through all of them."""

from typing import Any

from django.contrib import admin
from django.urls import reverse

from operations.base import ReadOnlyAdmin

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = [model for model in MODELS if isinstance(admin.site._registry[model], ReadOnlyAdmin)]


def page_of(model: Any) -> Any:
    return admin.site._registry[model]


def url(model: Any, name: str, *args: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=args)


def label(model: Any) -> str:
    return str(model._meta.label)


def acts() -> list[tuple[Any, str]]:
    """(model, name) of every act that a page offers."""
    found = []
    for model in MODELS:
        for entry in page_of(model).actions_detail:
            found += [(model, name) for name in (entry["items"] if isinstance(entry, dict) else [entry])]
    return found


def act_url(model: Any, name: str, pk: int) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=[pk])


def rows(model: Any) -> list[dict[str, Any]]:
    """Everything that is stored of a model."""
    found = [
        {key: bytes(value) if isinstance(value, memoryview) else value for key, value in row.items()}
        for row in model._base_manager.order_by("pk").values()
    ]
    for row in found:
        row.pop("last_login", None)
    return found
