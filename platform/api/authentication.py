"""Who calls: an API key in the Authorization header, or a signed-in person with a CSRF token."""

import hmac
import re

import structlog
from django.utils.translation import gettext as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from accounts import selectors, services
from accounts.models import ApiKey, User
from accounts.services.api_keys import digest_of
from common.actors import Actor, ActorKind
from common.clock import database_now

log = structlog.get_logger(__name__)
_TOKEN = re.compile(r"^ck_([0-9a-hjkmnp-tv-z]{10})_([A-Za-z0-9_-]{43})$", re.ASCII)
_NOBODY = digest_of("")


def actor_of_key(*, token: str, request_id: str) -> tuple[ApiKey, Actor] | None:
    """The key and who it acts as, or None for one that is unknown, wrong, revoked, expired or orphaned.

    The comparison takes the same time whether the prefix exists or not.
    """
    parts = _TOKEN.match(token)
    key = selectors.api_key_by_prefix(prefix=parts[1]) if parts else None
    right = hmac.compare_digest(digest_of(parts[2] if parts else ""), key.secret_sha256 if key else _NOBODY)
    if key is None or not right:
        return None
    now = database_now()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        return None
    role = getattr(key, "role", None)  # of the maker in the key's tenant: a key is worth what its maker is
    if role is None or not key.created_by.is_active:
        return None
    services.touch_api_key(key=key, at=now)
    actor = Actor(
        kind=ActorKind.API_KEY,
        ref=key.ref,
        tenant_id=key.tenant_id,
        user_id=key.created_by_id,
        role=role,
        scopes=frozenset(key.scopes),
        request_id=request_id,
    )
    return key, actor


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer ck_<prefix>_<secret>``. A bad key is refused even where none is needed."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _gap, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise exceptions.AuthenticationFailed(_("Use the Bearer scheme with an API key."))
        http_request = request._request  # noqa: SLF001 - where Django's middleware keeps the actor
        found = actor_of_key(token=token.strip(), request_id=str(http_request.META.get("chapek.request_id", "")))
        if found is None:
            raise exceptions.AuthenticationFailed(_("This API key is not valid."))
        key, actor = found
        http_request.actor = actor  # type: ignore[attr-defined]  # as ActorMiddleware sets it
        structlog.contextvars.bind_contextvars(actor=actor.ref)
        return key.created_by, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the signature of the base
        return 'Bearer realm="chapek"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The portal's own session; unsafe methods need the CSRF token in X-CSRFToken."""

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the signature of the base
        return 'Bearer realm="chapek"'
