"""The life of a tenant as a customer."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from common.state_machine import Machine


class TenantState(TextChoices):
    ACTIVE = "active", _("Active: may reserve within its limits")
    SUSPENDED = "suspended", _("Suspended by the operator, with a reason; running nodes go on, nothing new starts")
    CLOSED = "closed", _("Closed for good")


class TenantEvent(TextChoices):
    SUSPEND = "suspend", _("The operator suspends the tenant")
    REINSTATE = "reinstate", _("The operator lifts the suspension")
    CLOSE = "close", _("The tenant is closed")


TENANT = Machine(
    name="tenant",
    states=TenantState,
    events=TenantEvent,
    table={
        (TenantState.ACTIVE, TenantEvent.SUSPEND): TenantState.SUSPENDED,
        (TenantState.SUSPENDED, TenantEvent.REINSTATE): TenantState.ACTIVE,
        (TenantState.ACTIVE, TenantEvent.CLOSE): TenantState.CLOSED,
        (TenantState.SUSPENDED, TenantEvent.CLOSE): TenantState.CLOSED,
    },
)
