"""Foreign keys point down. import-linter cannot see one that is written as a string; this walks the models."""

from django.apps import apps

# Higher number, higher room; siblings share a number and may not point at each other.
LEVEL = {
    "common": 0,
    "audit": 1,
    "accounts": 2,
    "inventory": 3,
    "provisioning": 5,
    "billing": 5,
    "reservations": 6,
    "ai_act": 7,
    "api": 8,
    "portal": 8,
    "operations": 8,
}


def test_foreign_keys_point_down() -> None:
    offences = []
    for model in apps.get_models():
        here = model._meta.app_label
        if here not in LEVEL:
            continue
        for field in model._meta.get_fields():
            if not (field.is_relation and field.concrete and field.related_model):
                continue
            there = field.related_model._meta.app_label
            if there in LEVEL and there != here and LEVEL[there] >= LEVEL[here]:
                offences.append(f"{here}.{model.__name__}.{field.name} -> {there}")
    assert offences == []


def test_every_tenant_owned_row_is_reached_through_the_filter() -> None:
    """A model with a tenant uses the one base class, so that its manager has ``visible_to``."""
    from common.tenancy import TenantOwnedModel

    allowed = {"inventory.Node"}  # its holder changes hands; tenants reach nodes through their allocations
    offences = []
    for model in apps.get_models():
        label = f"{model._meta.app_label}.{model.__name__}"
        if model._meta.app_label not in LEVEL or label in allowed or issubclass(model, TenantOwnedModel):
            continue
        for field in model._meta.get_fields():
            target = field.related_model if field.is_relation and field.concrete else None
            if target is not None and target._meta.label == "accounts.Tenant":
                offences.append(f"{label}.{field.name}")
    assert offences == []
