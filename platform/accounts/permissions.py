"""What an actor may do: their role in the tenant, narrowed by the scopes of an API key, and the tenant's standing."""

from django.db.models import Exists
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.errors import NotAMember, TenantSuspended
from accounts.models import ApiKey, Membership, Tenant
from accounts.roles import GRANTS, NEEDS_GOOD_STANDING, SCOPES, Permission
from accounts.states import TenantState
from common.actors import Actor, ActorKind
from common.errors import Forbidden
from common.tenancy import TenantScopeMissing


def tenant_id_of(*, actor: Actor) -> int:
    """The tenant the actor acts for. Raises TenantScopeMissing when there is none."""
    if actor.tenant_id is None:
        raise TenantScopeMissing("this actor acts for no tenant")
    return actor.tenant_id


def permissions_of(*, actor: Actor) -> frozenset[str]:
    """The values of ``Permission`` that the actor has in its tenant, the tenant's standing left aside.

    The platform itself and the operator's staff have all: staff come through the admin, which asks for its own.
    """
    if actor.kind in {ActorKind.SYSTEM, ActorKind.STAFF}:
        return frozenset(Permission.values)
    granted = GRANTS.get(actor.role, frozenset())
    if actor.kind is ActorKind.API_KEY:
        opened = frozenset[str]().union(*(SCOPES.get(scope, frozenset()) for scope in actor.scopes))
        return granted & opened
    return granted


def still_acts(*, actor: Actor) -> bool:
    """Whether a person or key that was let in earlier would still be; for what outlasts a request. One query."""
    if actor.kind in {ActorKind.SYSTEM, ActorKind.STAFF}:
        return True
    if actor.user_id is None or actor.tenant_id is None:
        return False
    membership = Membership.objects.filter(user_id=actor.user_id, tenant_id=actor.tenant_id, user__is_active=True)
    if actor.kind is ActorKind.API_KEY:
        good = ApiKey.objects.filter(ref=actor.ref, revoked_at=None).exclude(expires_at__lte=Now())
        membership = membership.filter(Exists(good))
    return membership.exists()


def may(*, actor: Actor | None, permission: Permission) -> bool:
    """Whether ``require`` would pass, without asking for the tenant's standing (no query)."""
    return actor is not None and permission.value in permissions_of(actor=actor)


def require(actor: Actor, permission: Permission, *, even_suspended: bool = False) -> None:
    """Let the actor pass or raise: NotAMember, Forbidden, or TenantSuspended for what needs good standing.

    One query, and only for permissions that a suspended tenant loses; ``even_suspended`` leaves the standing aside.
    """
    if actor.kind in {ActorKind.SYSTEM, ActorKind.STAFF}:
        return
    if actor.tenant_id is None:
        raise NotAMember(_("You act for no organisation yet."))
    if permission.value not in permissions_of(actor=actor):
        narrowed = actor.kind is ActorKind.API_KEY and permission.value in GRANTS.get(actor.role, frozenset())
        hint = _("use a key with another scope") if narrowed else _("ask an owner or administrator of your tenant")
        raise Forbidden(
            _("Your role does not allow this: %(what)s.") % {"what": permission.label},
            hint=hint,
            permission=permission.value,
        )
    if permission in NEEDS_GOOD_STANDING and not even_suspended:
        require_good_standing(tenant_id=actor.tenant_id)


def require_good_standing(*, tenant_id: int) -> None:
    """Raises TenantSuspended unless the tenant is active. One query."""
    state = Tenant.objects.values_list("state", flat=True).get(pk=tenant_id)
    if state != TenantState.ACTIVE:
        raise TenantSuspended(_("This tenant is suspended by the operator."), state=state)
