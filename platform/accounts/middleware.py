"""Who acts in this request: ``request.actor``, and ``request.membership`` with its tenant loaded."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_only_middleware

from accounts import selectors
from accounts.models import Membership, User
from common.actors import Actor, ActorKind

TENANT_IN_SESSION = "tenant"
ADMIN_PREFIX = "/admin/"


def choose_tenant(*, request: HttpRequest, tenant_ref: str) -> bool:
    """Act for another of the person's tenants from the next request on. False when they do not belong to it."""
    user = request.user
    if not isinstance(user, User) or tenant_ref not in {m.tenant.ref for m in selectors.memberships_of(user=user)}:
        return False
    request.session[TENANT_IN_SESSION] = tenant_ref
    return True


def _identify(request: HttpRequest) -> None:
    """Two or three queries, and none for a visitor without a session."""
    request.actor, request.membership = None, None  # type: ignore[attr-defined]  # what this middleware adds
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return
    request_id = str(request.META.get("chapek.request_id", ""))
    if user.is_staff and request.path.startswith(ADMIN_PREFIX):
        request.actor = staff_actor(user=user, request_id=request_id)  # type: ignore[attr-defined]  # as above
        return
    membership = _pick(selectors.memberships_of(user=user), str(request.session.get(TENANT_IN_SESSION, "")))
    request.membership = membership  # type: ignore[attr-defined]  # as above
    if membership is None and user.is_staff:
        request.actor = staff_actor(user=user, request_id=request_id)  # type: ignore[attr-defined]  # as above
        return
    request.actor = user_actor(user=user, membership=membership, request_id=request_id)  # type: ignore[attr-defined]


def _pick(memberships: list[Membership], tenant_ref: str) -> Membership | None:
    chosen = [membership for membership in memberships if membership.tenant.ref == tenant_ref]
    return next(iter(chosen or memberships), None)


def staff_actor(*, user: User, request_id: str = "") -> Actor:
    """A member of the operator's staff: belongs to no tenant and sees no tenant's rows through portal or API."""
    return Actor(kind=ActorKind.STAFF, ref=user.ref, user_id=user.pk, role="staff", request_id=request_id)


def user_actor(*, user: User, membership: Membership | None, request_id: str = "") -> Actor:
    """A person; without a membership they act for no tenant (``tenant_id`` None) and may only found or join one."""
    return Actor(
        kind=ActorKind.USER,
        ref=user.ref,
        user_id=user.pk,
        tenant_id=membership.tenant_id if membership else None,
        role=membership.role if membership else "",
        request_id=request_id,
    )


@sync_only_middleware
def ActorMiddleware(  # noqa: N802 - named as Django names middleware
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Sets ``request.actor`` (``common.actors.Actor`` or None) and ``request.membership`` from the session.

    API keys are not looked at here: ``api.authentication`` replaces the actor of requests that bear one.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        _identify(request)
        return get_response(request)

    return middleware
