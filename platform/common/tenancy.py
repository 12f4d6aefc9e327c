"""The one tenant filter. It fails closed: an actor without a tenant is an error and never "all rows"."""

from typing import Any, ClassVar, Self, TypeVar

from django.db import models

from common.actors import Actor, ActorKind
from common.errors import Fault, PlatformFault

_ModelT_co = TypeVar("_ModelT_co", bound=models.Model, covariant=True)


class TenantScopeMissing(PlatformFault):
    """A tenant-owned query was asked without saying for whom; a programming error that must never show rows."""

    code = "tenant-scope-missing"
    status = 500
    fault = Fault.PLATFORM
    retryable = False


class TenantQuerySet(models.QuerySet[_ModelT_co]):
    """Rows of tenants; portal and API reach them only through ``visible_to``."""

    def visible_to(self, actor: Actor | None) -> Self:
        """Only the rows of the actor's own tenant. Staff work in the admin, which does not come this way.

        Raises TenantScopeMissing when there is no actor or the actor acts for no tenant.
        """
        if actor is None or actor.tenant_id is None or actor.kind not in {ActorKind.USER, ActorKind.API_KEY}:
            raise TenantScopeMissing("this query needs an actor who acts for a tenant")
        return self.filter(tenant_id=actor.tenant_id)


class TenantManager(models.Manager[_ModelT_co]):
    def get_queryset(self) -> TenantQuerySet[_ModelT_co]:
        return TenantQuerySet(self.model, using=self._db)

    def visible_to(self, actor: Actor | None) -> TenantQuerySet[_ModelT_co]:
        return self.get_queryset().visible_to(actor)


class TenantOwnedModel(models.Model):
    """A row that belongs to one tenant for ever."""

    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[TenantManager[Self]] = TenantManager()

    class Meta:
        abstract = True

    @property
    def audit_tenant_id(self) -> int | None:
        """The log that an event on this row is written to."""
        tenant_id: Any = self.tenant_id
        return int(tenant_id)
