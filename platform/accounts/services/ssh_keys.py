"""SSH public keys of a tenant."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import KeyKnownAlready, LimitReached, NameTaken
from accounts.models import SshKey, Tenant
from accounts.permissions import require, tenant_id_of
from accounts.roles import Permission
from accounts.ssh_keys import parse_public_key
from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest, NotFound
from compliance.audit.services import record

MOST_SSH_KEYS = 200
LONGEST_NAME = 80


def add_ssh_key(*, actor: Actor, name: str, public_key: str) -> SshKey:
    """Keep a public key. ``name`` may be empty: then the key's comment, or the end of its fingerprint, names it.

    Raises BadSshKey with the reason, NameTaken, KeyKnownAlready, LimitReached, Forbidden.
    """
    require(actor, Permission.MANAGE_KEYS)
    parsed = parse_public_key(text=public_key)
    name = " ".join(name.split()) or parsed.comment[:LONGEST_NAME] or parsed.fingerprint[-8:]
    if len(name) > LONGEST_NAME:
        raise InvalidRequest(_("A name has at most 80 characters."), field="name")
    with transaction.atomic():
        # The tenant's row is held, so that names, keys and the limit are judged one addition after another.
        Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant_id_of(actor=actor))
        known = list(SshKey.objects.visible_to(actor).values_list("name", "fingerprint"))
        for other_name, fingerprint in known:
            if fingerprint == parsed.fingerprint:
                raise KeyKnownAlready(
                    _("This key is here already, as %(name)s.") % {"name": other_name}, field="public_key"
                )
        if name in {other_name for other_name, _fingerprint in known}:
            raise NameTaken(_("Another key has this name."), field="name")
        if len(known) >= MOST_SSH_KEYS:
            raise LimitReached(_("A tenant has at most %(most)d SSH keys.") % {"most": MOST_SSH_KEYS})
        key = SshKey.objects.create(
            tenant_id=tenant_id_of(actor=actor),
            name=name,
            public_key=parsed.line,
            algorithm=parsed.algorithm,
            bits=parsed.bits,
            fingerprint=parsed.fingerprint,
            created_by_id=actor.user_id,
            created_at=database_now(),
        )
        _log(key, "ssh_key.added", actor)
    return key


def remove_ssh_key(*, actor: Actor, ref: str) -> None:
    """Forget a key: new reservations cannot use it. Nodes already handed over keep what is on them. Raises NotFound."""
    require(actor, Permission.MANAGE_KEYS)
    with transaction.atomic():
        key = SshKey.objects.visible_to(actor).select_for_update(of=("self",)).filter(ref=ref).first()
        if key is None:
            raise NotFound(_("There is no such SSH key."))
        _log(key, "ssh_key.removed", actor)
        key.delete()


def _log(key: SshKey, kind: str, actor: Actor) -> None:
    record(
        log_tenant_id=key.tenant_id,
        kind=kind,
        subject_ref=key.ref,
        actor=actor,
        details={"name": key.name, "algorithm": key.algorithm, "bits": key.bits, "fingerprint": key.fingerprint},
        at=database_now(),
    )
