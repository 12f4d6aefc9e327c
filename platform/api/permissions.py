"""The gate in front of every view: which permission an act needs is written on the view."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import permissions
from accounts.errors import NotAMember
from accounts.roles import Permission
from common.actors import Actor, ActorKind

if TYPE_CHECKING:  # Django REST framework imports this module while its views are being made
    from rest_framework.views import APIView


def actor_of(request: Request) -> Actor | None:
    """Set by ActorMiddleware from the session, replaced by ApiKeyAuthentication for a key."""
    actor: Actor | None = getattr(request._request, "actor", None)  # noqa: SLF001 - where the middleware keeps it
    return actor


class ActsForTenant(BasePermission):
    """An actor who acts for a tenant and holds the permission that the view names for this act.

    A view that names none is closed to all: forgetting it opens nothing. The tenant's standing is asked by the service.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        actor = actor_of(request)
        if request.user is None or actor is None:
            return False
        if actor.tenant_id is None or actor.kind not in {ActorKind.USER, ActorKind.API_KEY}:
            raise NotAMember(_("You act for no organisation yet."))
        needed: Permission | None = view.needed_permission()  # type: ignore[attr-defined]  # api.base declares it
        if needed is None:
            return False
        permissions.require(actor, needed, even_suspended=True)
        return True


class Everybody(BasePermission):
    """For what a visitor may see without logging in."""

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 - the signature of the base
        return True
