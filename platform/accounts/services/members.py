"""Who belongs to a tenant: invitations by mail, roles, departures."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.errors import InvitationNotFound, LastOwner, LimitReached
from accounts.models import Invitation, Membership, Tenant, User
from accounts.permissions import require, tenant_id_of
from accounts.roles import Permission, Role
from common.actors import Actor, ActorKind
from common.clock import database_now
from common.errors import Conflict, Forbidden, InvalidRequest, NotFound
from compliance.audit.services import record

INVITATION_LASTS = timedelta(days=7)
MOST_OPEN_INVITATIONS = 50


@dataclass(frozen=True, kw_only=True)
class NewInvitation:
    """``token`` is in the mailed link and nowhere else."""

    invitation: Invitation
    token: str

    def __repr__(self) -> str:
        return f"NewInvitation({self.invitation.ref})"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _hold_tenant(actor: Actor) -> Tenant:
    """Members of one tenant change one after another, so that "the last owner" is judged truly."""
    return Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant_id_of(actor=actor))


def _require_person_who_manages(actor: Actor) -> None:
    require(actor, Permission.MANAGE_TENANT)
    if actor.kind is ActorKind.API_KEY:
        raise Forbidden(_("Only a person manages members."), hint=_("sign in to the portal"))


def _checked_role(actor: Actor, role: str) -> Role:
    if role not in Role.values:
        raise InvalidRequest(_("There is no such role."), field="role")
    if role == Role.OWNER and actor.role != Role.OWNER:
        raise Forbidden(_("Only an owner makes owners."))
    return Role(role)


def invite(*, actor: Actor, email: str, role: str) -> NewInvitation:
    """Ask a person by mail to join; an open invitation of the same address is replaced. The mail leaves after commit.

    Raises InvalidRequest, Forbidden, Conflict when they are a member already, LimitReached.
    """
    _require_person_who_manages(actor)
    chosen = _checked_role(actor, role)
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidRequest(_("This is not an e-mail address."), field="email") from None
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        tenant = _hold_tenant(actor)
        at = database_now()
        if Membership.objects.visible_to(actor).filter(user__email=email).exists():
            raise Conflict(_("This person is a member already."), field="email")
        open_ones = Invitation.objects.visible_to(actor).filter(accepted_at=None, withdrawn_at=None)
        open_ones.filter(email=email).update(withdrawn_at=at)
        if open_ones.filter(expires_at__gt=at).count() >= MOST_OPEN_INVITATIONS:
            raise LimitReached(_("Too many invitations are open."), hint=_("withdraw some"))
        invitation = Invitation.objects.create(
            tenant=tenant,
            email=email,
            role=chosen,
            token_sha256=_digest(token),
            invited_by_id=actor.user_id,
            created_at=at,
            expires_at=at + INVITATION_LASTS,
        )
        _log(actor, "member.invited", invitation.ref, {"role": chosen.value})
        transaction.on_commit(lambda: _mail(tenant, email, token), robust=True)
    return NewInvitation(invitation=invitation, token=token)


def _mail(tenant: Tenant, email: str, token: str) -> None:
    link = f"{settings.CHAPEK_PUBLIC_URL}/invitations/{token}/"
    send_mail(
        subject=_("Chapek: you are invited to %(tenant)s") % {"tenant": tenant.legal_name},
        message=_("You are invited to join %(tenant)s. Open this link within seven days:\n\n%(link)s\n")
        % {"tenant": tenant.legal_name, "link": link},
        from_email=None,
        recipient_list=[email],
    )


def withdraw_invitation(*, actor: Actor, ref: str) -> None:
    """The mailed link stops working. Raises NotFound, Forbidden."""
    _require_person_who_manages(actor)
    with transaction.atomic():
        _hold_tenant(actor)
        rows = Invitation.objects.visible_to(actor).filter(ref=ref, accepted_at=None, withdrawn_at=None)
        if not rows.update(withdrawn_at=database_now()):
            raise NotFound(_("There is no such open invitation."))
        _log(actor, "member.invitation_withdrawn", ref, {})


def accept_invitation(*, user: User, token: str, request_id: str = "") -> Membership:
    """``user``, signed in with the invited and confirmed address, joins. Raises InvitationNotFound, Forbidden."""
    with transaction.atomic():
        invitation = (
            Invitation.objects.select_for_update(of=("self",))
            .filter(token_sha256=_digest(token), accepted_at=None, withdrawn_at=None)
            .first()
        )
        at = database_now()
        if invitation is None or invitation.expires_at <= at:
            raise InvitationNotFound(_("This invitation does not stand any more."))
        if not selectors.has_confirmed_email(user=user, email=invitation.email):
            raise Forbidden(
                _("The invitation was sent to another e-mail address."),
                hint=_("sign in with the address that the invitation was sent to"),
            )
        invitation.accepted_at = at
        invitation.save(update_fields=["accepted_at"])
        membership, made = Membership.objects.get_or_create(
            tenant_id=invitation.tenant_id, user=user, defaults={"role": invitation.role}
        )
        if made:
            actor = Actor(
                kind=ActorKind.USER,
                ref=user.ref,
                user_id=user.pk,
                tenant_id=invitation.tenant_id,
                role=membership.role,
                request_id=request_id,
            )
            _log(actor, "member.joined", user.ref, {"role": membership.role, "invitation": invitation.ref})
    return membership


def change_role(*, actor: Actor, user_ref: str, role: str) -> Membership:
    """Give a member another role. Raises NotFound, Forbidden, LastOwner."""
    _require_person_who_manages(actor)
    chosen = _checked_role(actor, role)
    with transaction.atomic():
        membership = _member(actor, user_ref)
        before = membership.role
        if before == chosen:
            return membership
        _guard_owners(actor, membership)
        membership.role = chosen
        membership.save(update_fields=["role"])
        _log(actor, "member.role_changed", user_ref, {"before": before, "after": chosen.value})
    return membership


def remove_member(*, actor: Actor, user_ref: str) -> None:
    """End a membership; the person's API keys of this tenant die with it. Raises NotFound, Forbidden, LastOwner."""
    _require_person_who_manages(actor)
    with transaction.atomic():
        membership = _member(actor, user_ref)
        _guard_owners(actor, membership)
        membership.delete()
        _log(actor, "member.removed", user_ref, {"before": membership.role})


def _member(actor: Actor, user_ref: str) -> Membership:
    _hold_tenant(actor)
    membership = Membership.objects.visible_to(actor).filter(user__ref=user_ref).first()
    if membership is None:
        raise NotFound(_("There is no such member."))
    return membership


def _guard_owners(actor: Actor, membership: Membership) -> None:
    if membership.role != Role.OWNER:
        return
    if actor.role != Role.OWNER:
        raise Forbidden(_("Only an owner changes an owner."))
    if Membership.objects.visible_to(actor).filter(role=Role.OWNER).count() == 1:
        raise LastOwner(_("This is the last owner."))


def _log(actor: Actor, kind: str, subject_ref: str, details: dict[str, str]) -> None:
    record(
        log_tenant_id=actor.tenant_id,
        kind=kind,
        subject_ref=subject_ref,
        actor=actor,
        details=details,
        at=database_now(),
    )
