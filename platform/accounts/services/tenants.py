"""A tenant comes, changes its facts, accepts texts, is screened, suspended and reinstated."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.countries import COUNTRIES
from accounts.errors import DocumentsNotAccepted, EmailNotConfirmed, LimitReached
from accounts.models import LegalAcceptance, LegalDocument, Membership, Project, Tenant, User
from accounts.permissions import require, tenant_id_of
from accounts.roles import Permission, Role
from accounts.states import TENANT, TenantEvent
from accounts.vat import check_vat_id
from common import outbox
from common.actors import Actor, ActorKind
from common.clock import database_now
from common.errors import Conflict, InvalidRequest
from common.state_machine import Transition, born, fire
from compliance.audit.services import record

MOST_TENANTS_OF_ONE_OWNER = 5
MOST_NODES = 100_000
DEFAULT_PROJECT = "default"
# As the columns have it; a test compares the two.
_LONGEST = {"legal_name": 200, "address_line": 200, "postal_code": 20, "city": 100, "billing_email": 254}


@dataclass(frozen=True, kw_only=True)
class TenantFacts:
    """The buyer as invoices name it. ``country`` is ISO 3166-1 alpha-2; ``vat_id`` may be empty."""

    legal_name: str
    address_line: str
    postal_code: str
    city: str
    country: str
    vat_id: str = ""
    is_business: bool = True
    billing_email: str = ""

    def checked(self) -> "TenantFacts":
        """The same, tidied. Raises InvalidRequest (``field`` in context) or BadVatId."""
        plain = {key: " ".join(str(value).split()) for key, value in asdict(self).items() if key != "is_business"}
        for name, longest in _LONGEST.items():
            if not plain[name]:
                raise InvalidRequest(_("This is needed for invoices."), field=name)
            if len(plain[name]) > longest:
                raise InvalidRequest(_("At most %(longest)d characters.") % {"longest": longest}, field=name)
        plain["country"] = plain["country"].upper()
        if plain["country"] not in COUNTRIES:
            raise InvalidRequest(_("This is not a country code (ISO 3166-1 alpha-2)."), field="country")
        try:
            validate_email(plain["billing_email"])
        except ValidationError:
            raise InvalidRequest(_("This is not an e-mail address."), field="billing_email") from None
        plain["vat_id"] = check_vat_id(country=plain["country"], text=plain["vat_id"])
        return TenantFacts(is_business=self.is_business, **plain)


def sign_up_tenant(
    *, user: User, facts: TenantFacts, accepted_document_ids: Collection[int], request_id: str = ""
) -> Tenant:
    """Make a tenant whose owner is ``user``, with its default project and the texts it accepted.

    A VAT id given is ``unverified``, so taxed as domestic until proven. ``accepted_document_ids`` must hold every
    document in force. Publishes ``tenant.created`` {tenant_id, tenant_ref}.
    Raises InvalidRequest, BadVatId, DocumentsNotAccepted, EmailNotConfirmed, LimitReached.
    """
    facts = facts.checked()
    with transaction.atomic():
        # The person's row is held so that two windows cannot pass the limit together.
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
        if not selectors.has_confirmed_email(user=user):
            raise EmailNotConfirmed(_("Confirm your e-mail address first."))
        if Membership.objects.filter(user=user, role=Role.OWNER).count() >= MOST_TENANTS_OF_ONE_OWNER:
            raise LimitReached(_("You own as many organisations as one person may."))
        state = Tenant.VatIdState.UNVERIFIED if facts.vat_id else Tenant.VatIdState.NONE
        tenant = Tenant.objects.create(**asdict(facts), vat_id_state=state)
        actor = Actor(
            kind=ActorKind.USER,
            ref=user.ref,
            user_id=user.pk,
            tenant_id=tenant.pk,
            role=Role.OWNER,
            request_id=request_id,
        )
        born(
            machine=TENANT,
            subject=tenant,
            actor=actor,
            details={"country": tenant.country, "has_vat_id": bool(tenant.vat_id)},
        )
        Membership.objects.create(tenant=tenant, user=user, role=Role.OWNER)
        Project.objects.create(tenant=tenant, name=DEFAULT_PROJECT, is_default=True)
        _accept(tenant=tenant, user=user, actor=actor, document_ids=accepted_document_ids)
        outbox.publish(
            kind="tenant.created",
            aggregate=tenant.ref,
            payload={"tenant_id": tenant.pk, "tenant_ref": tenant.ref},
            occurred_at=database_now(),
        )
    return tenant


def _accept(*, tenant: Tenant, user: User, actor: Actor, document_ids: Collection[int]) -> None:
    at = database_now()
    in_force = selectors.documents_in_force(on=at.date())
    missing = [document for document in in_force if document.pk not in document_ids]
    if missing or len(in_force) < len(LegalDocument.Kind):
        names = ", ".join(str(document) for document in missing)
        raise DocumentsNotAccepted(_("Not accepted yet: %(names)s.") % {"names": names}, missing=names)
    for document in in_force:
        _row, made = LegalAcceptance.objects.get_or_create(
            tenant=tenant, document=document, defaults={"user": user, "accepted_at": at}
        )
        if made:
            record(
                log_tenant_id=tenant.pk,
                kind="tenant.document_accepted",
                subject_ref=tenant.ref,
                actor=actor,
                details={"document": document.kind, "version": document.version, "sha256": document.text_sha256},
                at=at,
            )


def accept_documents(*, actor: Actor, document_ids: Collection[int]) -> None:
    """Record that the tenant accepts every document in force. Raises DocumentsNotAccepted, Forbidden."""
    require(actor, Permission.MANAGE_TENANT)
    tenant = selectors.tenant_of(actor=actor)
    with transaction.atomic():
        _accept(tenant=tenant, user=User.objects.get(ref=actor.ref), actor=actor, document_ids=document_ids)


def update_tenant_facts(*, actor: Actor, facts: TenantFacts) -> Tenant:
    """Change the buyer's facts; a VAT id or country that differs is unverified again. Raises as ``sign_up_tenant``."""
    require(actor, Permission.MANAGE_TENANT)
    facts = facts.checked()
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant_id_of(actor=actor))
        changed = [field.name for field in fields(facts) if getattr(tenant, field.name) != getattr(facts, field.name)]
        if not changed:
            return tenant
        if {"vat_id", "country"} & set(changed):
            tenant.vat_id_state = Tenant.VatIdState.UNVERIFIED if facts.vat_id else Tenant.VatIdState.NONE
        for name in changed:
            setattr(tenant, name, getattr(facts, name))
        tenant.save(update_fields=[*changed, "vat_id_state"])
        record(
            log_tenant_id=tenant.pk,
            kind="tenant.facts_changed",
            subject_ref=tenant.ref,
            actor=actor,
            details={"fields": sorted(changed)},
            at=database_now(),
        )
    return tenant


def suspend_tenant(*, tenant: Tenant, reason: str, actor: Actor) -> Transition:
    """Nothing new starts for this tenant; running nodes go on. ``reason`` is shown to it. For staff (the admin)."""
    return _judge(tenant=tenant, event=TenantEvent.SUSPEND, reason=reason, actor=actor)


def reinstate_tenant(*, tenant: Tenant, reason: str, actor: Actor) -> Transition:
    """Lift the suspension; ``reason`` goes to the log. Raises IllegalTransition when it is not suspended."""
    return _judge(tenant=tenant, event=TenantEvent.REINSTATE, reason=reason, actor=actor)


def _judge(*, tenant: Tenant, event: TenantEvent, reason: str, actor: Actor) -> Transition:
    reason = _needed(reason)
    with transaction.atomic():
        transition = fire(machine=TENANT, subject=tenant, event=event, actor=actor, details={"reason": reason})
        tenant.suspension_reason = reason if event is TenantEvent.SUSPEND else ""
        tenant.save(update_fields=["suspension_reason"])
    return transition


def screen_tenant(*, tenant: Tenant, note: str, actor: Actor) -> None:
    """What the operator checked about a customer (sanctions lists, register). The note stays with the platform."""
    with transaction.atomic():
        tenant.screening_note = note.strip()
        tenant.save(update_fields=["screening_note"])
        record(
            log_tenant_id=None,
            kind="tenant.screened",
            subject_ref=tenant.ref,
            actor=actor,
            details={"note": tenant.screening_note},
            at=database_now(),
        )


def judge_vat_id(*, tenant: Tenant, is_verified: bool, reason: str, actor: Actor) -> Tenant:
    """Note whether the tenant's VAT id was proven; from now on its quotes are taxed accordingly. For staff.

    Promises made before keep their tax. Raises InvalidRequest without a reason or a VAT id, Conflict when it is so.
    """
    reason = _needed(reason)
    with transaction.atomic():
        locked = Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant.pk)
        if not locked.vat_id:
            raise InvalidRequest(_("This tenant has given no VAT id."), field="vat_id")
        before = locked.vat_id_state
        after = Tenant.VatIdState.VERIFIED if is_verified else Tenant.VatIdState.UNVERIFIED
        if before == after:
            raise Conflict(_("The VAT id is marked so already."))
        locked.vat_id_state = after
        locked.save(update_fields=["vat_id_state"])
        kind = "tenant.vat_id_verified" if is_verified else "tenant.vat_id_not_verified"
        details = {"before": before, "after": after.value, "vat_id": locked.vat_id, "reason": reason}
        _tell(tenant=locked, kind=kind, actor=actor, details=details)
    return locked


def set_node_limit(*, tenant: Tenant, max_nodes: int, reason: str, actor: Actor) -> Tenant:
    """How many nodes the tenant may have at once; what it has already stays. For staff. Raises InvalidRequest."""
    reason = _needed(reason)
    if not 0 <= max_nodes <= MOST_NODES:
        raise InvalidRequest(_("A limit is from 0 to %(most)d nodes.") % {"most": MOST_NODES}, field="max_nodes")
    with transaction.atomic():
        locked = Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant.pk)
        before, locked.max_nodes = locked.max_nodes, max_nodes
        locked.save(update_fields=["max_nodes"])
        details = {"before": before, "after": max_nodes, "reason": reason}
        _tell(tenant=locked, kind="tenant.limit_changed", actor=actor, details=details)
    return locked


def _needed(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise InvalidRequest(_("A reason is needed; the tenant's log keeps it."), field="reason")
    return reason


def _tell(*, tenant: Tenant, kind: str, actor: Actor, details: dict[str, Any]) -> None:
    record(log_tenant_id=tenant.pk, kind=kind, subject_ref=tenant.ref, actor=actor, details=details, at=database_now())
