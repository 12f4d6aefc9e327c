"""Arming a boot, and what a node says during it: every token works once, for one node, until it expires."""

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from common import vault
from common.actors import system_actor
from common.clock import database_now
from compliance.audit import services as audit
from inventory.models import Node
from provisioning import progress, tokens
from provisioning.leases import nudge
from provisioning.models import BootSession, Job
from provisioning.models.boot import RESCUE_KEY
from provisioning.ssh import new_key_pair
from provisioning.wake import wake_after_commit

BOOT_TTL_S = 3600
MAX_HOST_KEYS = 4


@dataclass(frozen=True, kw_only=True)
class ArmedBoot:
    session: BootSession
    token: str


def arm_rescue(*, job: Job, node: Node) -> ArmedBoot:
    """A fresh rescue boot with its own SSH key; an earlier one of this node is revoked. ``token`` opens the script."""
    token = tokens.new_token()
    private, public = new_key_pair(comment=f"chapek-rescue-{job.ref}")
    session = _arm(
        job=job,
        node=node,
        purpose=BootSession.Purpose.RESCUE,
        script_token_sha256=tokens.digest(token),
        public_key=public,
        private_key_sealed=vault.seal(private, context=RESCUE_KEY),
    )
    return ArmedBoot(session=session, token=token)


def arm_installed(*, job: Job, node: Node) -> ArmedBoot:
    """The first boot from disk; ``token`` is for phoning home."""
    token = tokens.new_token()
    session = _arm(job=job, node=node, purpose=BootSession.Purpose.INSTALLED, report_token_sha256=tokens.digest(token))
    return ArmedBoot(session=session, token=token)


@transaction.atomic
def _arm(*, job: Job, node: Node, purpose: str, **values: Any) -> BootSession:
    BootSession.objects.filter(node=node, purpose=purpose, revoked_at=None).update(revoked_at=Now())
    return BootSession.objects.create(
        job=job,
        node=node,
        purpose=purpose,
        mac=node.boot_mac,
        expires_at=timezone.now() + timedelta(seconds=BOOT_TTL_S),
        **values,
    )


def revoke_boots(*, node: Node) -> None:
    """Nothing that was armed for this node opens anything any more."""
    BootSession.objects.filter(node=node, revoked_at=None).update(revoked_at=Now())


_TO_DISK = "#!ipxe\nexit\n"
_OPEN = Q(revoked_at=None, reported_at=None, expires_at__gt=Now())


def loader_is_waited_for(*, token: str) -> bool:
    """Whether firmware may fetch the boot loader with this token: as often as it likes, until the script was taken."""
    return BootSession.objects.filter(_OPEN, script_token_sha256=tokens.digest(token), fetched_at=None).exists()


def allow_by_mac(*, boot: BootSession) -> None:
    """The BMC took no URL. Until this is said, nobody gets a token by naming a MAC address, which anybody can know."""
    digest = tokens.digest(tokens.token_by_mac(boot.ref))
    BootSession.objects.filter(pk=boot.pk).update(by_mac=True, script_token_sha256=digest)


@transaction.atomic
def take_script(*, token: str) -> str | None:
    """The iPXE script behind a boot token, once; None when the token opens nothing.

    Asked for a second time, a boot by MAC address is contested: who came first may have been somebody else.
    """
    again = (
        BootSession.objects.select_for_update(of=("self",), no_key=True)
        .filter(script_token_sha256=tokens.digest(token), by_mac=True, revoked_at=None, fetched_at__isnull=False)
        .first()
    )
    if again is not None:
        _contested(again)
        return None
    session = (
        BootSession.objects.select_for_update(of=("self",), no_key=True)
        .select_related("node", "job")
        .filter(_OPEN, script_token_sha256=tokens.digest(token), fetched_at=None)
        .first()
    )
    if session is None:
        return None
    report = tokens.new_token()
    session.report_token_sha256 = tokens.digest(report)
    BootSession.objects.filter(pk=session.pk).update(fetched_at=Now(), report_token_sha256=session.report_token_sha256)
    progress.notify(session.job.reservation_ref)
    key = base64.b64encode(session.public_key.encode()).decode()
    artefacts = f"{settings.CHAPEK_BOOT_URL}/boot/artefacts"
    arguments = (
        f"initrd={settings.CHAPEK_RESCUE_INITRD} chapek.report={tokens.boot_url(report, 'report')} "
        f"chapek.sshkey={key} chapek.hostname={session.node.name}-rescue"
    )
    return (
        "#!ipxe\n"
        f"kernel {artefacts}/{settings.CHAPEK_RESCUE_KERNEL} {arguments}\n"
        f"initrd {artefacts}/{settings.CHAPEK_RESCUE_INITRD}\n"
        "boot\n"
    )


@transaction.atomic
def script_for_mac(*, mac: str) -> str:
    """What site DHCP's boot file answers a node with: its armed boot, else to go on to its disk.

    Only for a BMC that cannot be told a URL and so no token either. Whoever asks gets the one token of this boot; who
    asks after its script was taken makes the boot contested, and nothing that was reported for it is believed.
    """
    session = (
        BootSession.objects.select_for_update(of=("self",), no_key=True)
        .filter(mac=mac.lower(), purpose=BootSession.Purpose.RESCUE, by_mac=True)
        .filter(revoked_at=None, expires_at__gt=Now())
        .order_by("-pk")
        .first()
    )
    if session is None:
        return _TO_DISK
    if session.fetched_at is not None:
        _contested(session)
        return _TO_DISK
    return f"#!ipxe\nchain {tokens.boot_url(tokens.token_by_mac(session.ref), 'script.ipxe')}\n"


def _contested(session: BootSession) -> None:
    """Two have asked for one boot. Closed for both, unless the job has done with this boot already."""
    job = Job.objects.select_related("node__site").get(pk=session.job_id)
    booted = job.boot_sessions.filter(purpose=BootSession.Purpose.INSTALLED, revoked_at=None).exists()
    if not job.is_live or booted:
        return
    BootSession.objects.filter(pk=session.pk).update(revoked_at=Now())
    audit.record(
        log_tenant_id=None,
        kind="boot.contested",
        subject_ref=job.node.ref,
        actor=system_actor(name="boot"),
        details={"boot": session.ref, "job": job.ref, "mac": session.mac},
        at=database_now(),
    )
    nudge(job_id=job.pk)
    wake_after_commit(job_ref=job.ref, site_code=job.node.site.code)


def take_report(*, token: str, mac: str, serial: str, host_keys: list[str]) -> bool:
    """The rescue system is up and says who it is. False when the token opens nothing or another node uses it."""
    return _reported(
        token=token,
        purpose=BootSession.Purpose.RESCUE,
        host_keys=host_keys,
        facts=Q(mac=mac.lower(), node__serial=serial),
    )


def take_phone_home(*, token: str, instance_id: str, host_key: str) -> bool:
    """The installed system is up. False as for take_report."""
    return _reported(
        token=token,
        purpose=BootSession.Purpose.INSTALLED,
        host_keys=[host_key],
        facts=Q(job__ref=instance_id),
    )


@transaction.atomic
def _reported(*, token: str, purpose: str, host_keys: list[str], facts: Q) -> bool:
    session = (
        BootSession.objects.select_for_update(of=("self",), no_key=True)
        .filter(_OPEN, report_token_sha256=tokens.digest(token), purpose=purpose)
        .first()
    )
    if session is None or not BootSession.objects.filter(facts, pk=session.pk).exists():
        return False
    BootSession.objects.filter(pk=session.pk).update(reported_at=Now(), host_keys=host_keys)
    nudge(job_id=session.job_id)
    job = Job.objects.select_related("node__site").get(pk=session.job_id)
    wake_after_commit(job_ref=job.ref, site_code=job.node.site.code)
    return True


def image_job(*, token: str) -> Job | None:
    """The deployment whose image token this is, while it lives and the token is valid."""
    return (
        Job.objects.filter(
            image_token_sha256=tokens.digest(token),
            image_token_expires_at__gt=Now(),
            state__in=("leased", "waiting", "ready"),
        )
        .select_related("image")
        .first()
    )
