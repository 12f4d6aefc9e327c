"""API keys: made with the secret shown once, used, revoked."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.errors import LimitReached
from accounts.models import ApiKey, Tenant
from accounts.permissions import require, tenant_id_of
from accounts.roles import GRANTS, SCOPES, Permission
from common.actors import Actor, ActorKind
from common.clock import database_now
from common.errors import Forbidden, InvalidRequest, NotFound
from compliance.audit.services import record

MOST_API_KEYS = 50
LONGEST_NAME = 80
LONGEST_LIFE = timedelta(days=366)
TOUCH_EVERY = timedelta(minutes=1)
_PREFIX_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, kw_only=True)
class NewApiKey:
    """The only time that ``secret`` (``ck_<prefix>_<43 characters>``) exists in clear."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"NewApiKey({self.key.ref})"


def digest_of(secret_part: str) -> str:
    """Of 256 random bits a plain SHA-256 is enough: there is nothing to guess."""
    return hashlib.sha256(secret_part.encode()).hexdigest()


def make_api_key(*, actor: Actor, name: str, scopes: Collection[str], expires_at: datetime | None) -> NewApiKey:
    """Make a key that acts for the tenant in its maker's name, within the maker's role at each moment.

    ``scopes`` are values of ``Scope``; each must open something that the maker's role has. ``expires_at`` lies within
    a year; None means a year. Only a person makes keys, never another key.
    Raises InvalidRequest (``field`` in context), Forbidden, LimitReached, TenantSuspended.
    """
    require(actor, Permission.MANAGE_API_KEYS)
    maker_id = actor.user_id
    if actor.kind is not ActorKind.USER or maker_id is None:
        raise Forbidden(_("Only a person makes API keys."), hint=_("sign in to the portal"))
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise InvalidRequest(_("Give a name of at most 80 characters."), field="name")
    wanted = sorted(set(scopes))
    if not wanted:
        raise InvalidRequest(_("Give at least one scope."), field="scopes")
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidRequest(_("There is no scope %(scope)s.") % {"scope": scope[:40]}, field="scopes")
        if not SCOPES[scope] <= GRANTS[actor.role]:
            raise Forbidden(_("Your role does not have everything in the scope %(scope)s.") % {"scope": scope})
    with transaction.atomic():
        # The tenant's row is held so that the limit is judged one key after another.
        Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant_id_of(actor=actor))
        now = database_now()
        ends_at = _end_of_life(expires_at, now)
        live = ApiKey.objects.visible_to(actor).filter(revoked_at=None).exclude(expires_at__lte=now).count()
        if live >= MOST_API_KEYS:
            raise LimitReached(_("A tenant has at most %(most)d API keys.") % {"most": MOST_API_KEYS})
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _i in range(10))
        secret_part = secrets.token_urlsafe(32)
        key = ApiKey.objects.create(
            tenant_id=tenant_id_of(actor=actor),
            name=name,
            prefix=prefix,
            secret_sha256=digest_of(secret_part),
            scopes=wanted,
            created_by_id=maker_id,
            created_at=now,
            expires_at=ends_at,
        )
        _log(key, "api_key.made", actor)
    return NewApiKey(key=key, secret=f"ck_{prefix}_{secret_part}")


def _end_of_life(expires_at: datetime | None, now: datetime) -> datetime:
    if expires_at is None:
        return now + LONGEST_LIFE
    if expires_at.tzinfo is None:
        raise InvalidRequest(_("Give the time with its zone."), field="expires_at")
    ends_at = expires_at.astimezone(UTC)
    if not now < ends_at <= now + LONGEST_LIFE:
        raise InvalidRequest(_("A key ends in the future and within a year."), field="expires_at")
    return ends_at


def revoke_api_key(*, actor: Actor, ref: str) -> ApiKey:
    """From now on the key is refused; doing it twice changes nothing. Raises NotFound, Forbidden.

    A suspended tenant may do this too.
    """
    require(actor, Permission.MANAGE_API_KEYS, even_suspended=True)
    with transaction.atomic():
        key = ApiKey.objects.visible_to(actor).select_for_update(of=("self",), no_key=True).filter(ref=ref).first()
        if key is None:
            raise NotFound(_("There is no such API key."))
        if key.revoked_at is None:
            key.revoked_at = database_now()
            key.save(update_fields=["revoked_at"])
            _log(key, "api_key.revoked", actor)
    return key


def touch_api_key(*, key: ApiKey, at: datetime) -> None:
    """Note that the key was used; written at most once a minute, so that busy keys cost no write per request."""
    if key.last_used_at is not None and at - key.last_used_at < TOUCH_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - TOUCH_EVERY)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=at)


def _log(key: ApiKey, kind: str, actor: Actor) -> None:
    record(
        log_tenant_id=key.tenant_id,
        kind=kind,
        subject_ref=key.ref,
        actor=actor,
        details={
            "name": key.name,
            "prefix": key.prefix,
            "scopes": list(key.scopes),
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        },
        at=database_now(),
    )
