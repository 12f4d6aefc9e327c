"""Reads of this room. ``actor`` fixes the tenant; rows of others are never seen."""

import hashlib
from collections.abc import Iterable
from datetime import date

from allauth.account.models import EmailAddress
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from accounts.models import (
    ApiKey,
    Invitation,
    LegalAcceptance,
    LegalDocument,
    Membership,
    Project,
    SshKey,
    Tenant,
    User,
)
from common.actors import Actor
from common.clock import database_now
from common.errors import NotFound
from common.tenancy import TenantQuerySet, TenantScopeMissing


def tenant_of(*, actor: Actor) -> Tenant:
    """The tenant the actor acts for. Raises TenantScopeMissing when there is none."""
    if actor.tenant_id is None:
        raise TenantScopeMissing("this actor acts for no tenant")
    return Tenant.objects.get(pk=actor.tenant_id)


def memberships_of(*, user: User) -> list[Membership]:
    """Every tenant the person belongs to, oldest first, with ``.tenant`` loaded. One query."""
    return list(Membership.objects.filter(user=user).select_related("tenant").order_by("created_at", "pk"))


def members(*, actor: Actor) -> TenantQuerySet[Membership]:
    return Membership.objects.visible_to(actor).select_related("user").order_by("created_at", "pk")


def open_invitations(*, actor: Actor) -> TenantQuerySet[Invitation]:
    return Invitation.objects.visible_to(actor).filter(
        accepted_at=None, withdrawn_at=None, expires_at__gt=database_now()
    )


def projects(*, actor: Actor) -> TenantQuerySet[Project]:
    return Project.objects.visible_to(actor)


def default_project(*, actor: Actor) -> Project:
    return projects(actor=actor).get(is_default=True)


def project(*, actor: Actor, ref: str) -> Project:
    """Raises NotFound when the tenant has no such project."""
    found = projects(actor=actor).filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such project."))
    return found


def ssh_keys(*, actor: Actor) -> TenantQuerySet[SshKey]:
    return SshKey.objects.visible_to(actor)


def ssh_keys_named(*, actor: Actor, refs: Iterable[str]) -> list[SshKey]:
    """The keys of these refs, in their order, each once. Raises NotFound when one is not the tenant's. One query."""
    wanted = list(dict.fromkeys(refs))
    found = {key.ref: key for key in ssh_keys(actor=actor).filter(ref__in=wanted)}
    missing = [ref for ref in wanted if ref not in found]
    if missing:
        raise NotFound(_("There is no SSH key %(ref)s.") % {"ref": missing[0][:40]}, field="ssh_keys")
    return [found[ref] for ref in wanted]


def api_keys(*, actor: Actor) -> TenantQuerySet[ApiKey]:
    """The tenant's API keys, revoked and expired ones too, with their maker. The secrets are not stored."""
    return ApiKey.objects.visible_to(actor).select_related("created_by")


def documents_in_force(*, on: date) -> list[LegalDocument]:
    """Of each kind the version in force on that day (UTC), in the order of the kinds. One query."""
    newest: dict[str, LegalDocument] = {}
    for document in LegalDocument.objects.filter(in_force_from__lte=on).order_by("in_force_from", "pk"):
        newest[document.kind] = document
    return [newest[kind] for kind in LegalDocument.Kind.values if kind in newest]


def document(*, kind: str, version: str) -> LegalDocument:
    """Raises NotFound. Texts are public: they are read before anybody signs up."""
    found = LegalDocument.objects.filter(kind=kind, version=version).first()
    if found is None:
        raise NotFound(_("There is no such document."))
    return found


def documents_to_accept(*, actor: Actor) -> list[LegalDocument]:
    """What is in force and not yet accepted by the tenant. Two queries."""
    accepted = set(LegalAcceptance.objects.visible_to(actor).values_list("document_id", flat=True))
    return [item for item in documents_in_force(on=database_now().date()) if item.pk not in accepted]


def acceptances(*, actor: Actor) -> TenantQuerySet[LegalAcceptance]:
    return LegalAcceptance.objects.visible_to(actor).select_related("document", "user").order_by("-accepted_at", "-pk")


def has_confirmed_email(*, user: User, email: str | None = None) -> bool:
    """Whether the person proved to receive mail at ``email``, or at any address of theirs."""
    confirmed = EmailAddress.objects.filter(user=user, verified=True)
    return bool(confirmed.filter(email__iexact=email).exists() if email else confirmed.exists())


def open_invitation(*, token: str) -> Invitation | None:
    """For the page behind a mailed link: the invitation that still stands, with its tenant."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return (
        Invitation.objects.filter(token_sha256=digest, accepted_at=None, withdrawn_at=None)
        .filter(expires_at__gt=database_now())
        .select_related("tenant")
        .first()
    )


def api_key_by_prefix(*, prefix: str) -> ApiKey | None:
    """For authentication only: the key with its maker, and as ``role`` what they are in the key's tenant now, or None.

    One query.
    """
    role = Membership.objects.filter(user_id=OuterRef("created_by_id"), tenant_id=OuterRef("tenant_id")).values("role")
    return ApiKey.objects.filter(prefix=prefix).select_related("created_by").annotate(role=Subquery(role[:1])).first()
