"""Enrolling what the operator owns. Every function is idempotent: what exists is brought up to the facts given.

A node that is enrolled begins in ``enrolled``; it becomes sellable by an intake, which ``provisioning`` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction

from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest
from common.state_machine import born
from compliance.audit import services as audit
from inventory.models import BmcEndpoint, Fabric, GpuModel, Image, Node, NodeType, Pool, Rack, Site, Stock
from inventory.states import NODE

_Row = TypeVar("_Row", bound=models.Model)


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    code: str
    name: str
    city: str
    country: str
    latitude: Decimal
    longitude: Decimal
    power_envelope_kw: int


@dataclass(frozen=True, kw_only=True)
class GpuModelFacts:
    """``memory_gib`` as the catalogue gives it; ``source`` says where the facts are from."""

    code: str
    memory_gib: int
    tdp_w: int
    vendor: str = "NVIDIA"
    introduced_on: date | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeTypeFacts:
    code: str
    name: str
    gpu_model: str
    gpu_count: int
    cpu_cores: int
    memory_gib: int
    drive_gib: int
    max_draw_w: int
    drive_count: int = 1
    nic_summary: str = ""


@dataclass(frozen=True, kw_only=True)
class DriveFacts:
    name: str
    serial: str
    model: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class BmcFacts:
    """``driver`` is an entry point of ``chapek.drivers``: redfish or ipmi."""

    address: str
    port: int
    username: str
    password: str = field(repr=False)
    driver: str = "redfish"
    cipher_suite: int = 17


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """One machine as its papers say. The first drive is the boot drive; empty lists are filled by the inspection."""

    name: str
    serial: str
    site: str
    rack: str
    pool: str
    node_type: str
    boot_mac: str
    bmc: BmcFacts
    tenant_address: str
    tenant_ssh_port: int = 22
    tenant_gateway: str | None = None
    fabric: str = ""
    switch_port: str = ""
    drives: tuple[DriveFacts, ...] = ()
    gpu_serials: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """``path`` is below CHAPEK_IMAGES_DIR; ``sha256`` and ``size_bytes`` are of the file as stored."""

    code: str
    version: str
    name: str
    path: str
    compression: str
    sha256: str
    size_bytes: int
    default_user: str
    min_disk_gib: int = 10


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """What came of one enrollment; ``changed`` names the fields that differed from the facts."""

    node: Node
    is_new: bool
    changed: tuple[str, ...]


@transaction.atomic
def enroll_site(*, facts: SiteFacts, actor: Actor) -> Site:
    values = {
        "name": facts.name,
        "city": facts.city,
        "country": facts.country,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
        "power_envelope_kw": facts.power_envelope_kw,
    }
    return _bring_up(Site, key={"code": facts.code}, values=values, actor=actor, subject=f"site:{facts.code}")


@transaction.atomic
def enroll_pool(*, site: Site, code: str, name: str, actor: Actor) -> Pool:
    return _bring_up(Pool, key={"code": code}, values={"site": site, "name": name}, actor=actor, subject=f"pool:{code}")


@transaction.atomic
def enroll_rack(*, site: Site, code: str, power_limit_kw: int, actor: Actor) -> Rack:
    values = {"site": site, "power_limit_kw": power_limit_kw}
    return _bring_up(Rack, key={"code": code}, values=values, actor=actor, subject=f"rack:{code}")


@transaction.atomic
def enroll_fabric(*, site: Site, code: str, technology: str, actor: Actor) -> Fabric:
    values = {"site": site, "technology": technology}
    return _bring_up(Fabric, key={"code": code}, values=values, actor=actor, subject=f"fabric:{code}")


@transaction.atomic
def enroll_gpu_model(*, facts: GpuModelFacts, actor: Actor) -> GpuModel:
    values = {
        "vendor": facts.vendor,
        "memory_gib": facts.memory_gib,
        "tdp_w": facts.tdp_w,
        "introduced_on": facts.introduced_on,
        "source": facts.source,
    }
    return _bring_up(GpuModel, key={"code": facts.code}, values=values, actor=actor, subject=f"gpu_model:{facts.code}")


@transaction.atomic
def enroll_node_type(*, facts: NodeTypeFacts, actor: Actor) -> NodeType:
    values = {
        "name": facts.name,
        "gpu_model": _named(GpuModel, facts.gpu_model, "gpu_model"),
        "gpu_count": facts.gpu_count,
        "cpu_cores": facts.cpu_cores,
        "memory_gib": facts.memory_gib,
        "drive_gib": facts.drive_gib,
        "drive_count": facts.drive_count,
        "nic_summary": facts.nic_summary,
        "max_draw_w": facts.max_draw_w,
    }
    return _bring_up(NodeType, key={"code": facts.code}, values=values, actor=actor, subject=f"node_type:{facts.code}")


@transaction.atomic
def register_image(*, facts: ImageFacts, actor: Actor) -> Image:
    """A version of an image. Its content never changes: another checksum needs another version (InvalidRequest)."""
    present = Image.objects.filter(code=facts.code, version=facts.version).first()
    if present is not None and present.sha256 != facts.sha256 and present.path == facts.path:
        raise InvalidRequest(
            f"image {facts.code} {facts.version} is registered with another checksum", field="version", image=facts.code
        )
    values = {
        "name": facts.name,
        "path": facts.path,
        "compression": facts.compression,
        "sha256": facts.sha256,
        "size_bytes": facts.size_bytes,
        "min_disk_gib": facts.min_disk_gib,
        "default_user": facts.default_user,
    }
    key = {"code": facts.code, "version": facts.version}
    return _bring_up(Image, key=key, values=values, actor=actor, subject=f"image:{facts.code}:{facts.version}")


@transaction.atomic
def enroll_node(*, facts: NodeFacts, actor: Actor) -> Enrolled:
    """A node, its BMC and the stock row of its kind. Raises InvalidRequest for facts that cannot be.

    Site, rack, pool and node type exist already. A changed BMC address forgets the pinned certificate, so the next
    intake pins anew; a changed password is stored sealed and only told to have changed.
    """
    site = _named(Site, facts.site, "site")
    node_type = _named(NodeType, facts.node_type, "node_type")
    values: dict[str, Any] = {
        "serial": facts.serial,
        "site": site,
        "rack": _named(Rack, facts.rack, "rack"),
        "pool": _named(Pool, facts.pool, "pool"),
        "fabric": _named(Fabric, facts.fabric, "fabric") if facts.fabric else None,
        "node_type": node_type,
        "boot_mac": facts.boot_mac.lower().replace("-", ":"),
        "tenant_address": facts.tenant_address,
        "tenant_ssh_port": facts.tenant_ssh_port,
        "tenant_gateway": facts.tenant_gateway,
        "switch_port": facts.switch_port,
    }
    if any(row.site_id != site.pk for row in (values["rack"], values["pool"]) if row is not None):
        raise InvalidRequest(f"rack and pool of {facts.name} stand at another site than {facts.site}", field="site")
    node = Node.objects.select_for_update(of=("self",), no_key=True).filter(name=facts.name).first()
    is_new = node is None
    if node is None:
        node = Node(name=facts.name)
    bill = {**node.hardware_bill, **_bill_of(facts)}
    changed = _assign(node, {**values, "hardware_bill": bill})
    if is_new or changed:
        _save(node)
    changed += _bring_up_bmc(node, facts.bmc)
    Stock.objects.get_or_create(site=site, node_type=node_type)
    if is_new:
        born(machine=NODE, subject=node, actor=actor, details={"name": node.name, "serial": node.serial})
    elif changed:
        _tell(actor=actor, subject=node.ref, kind="node.facts_changed", details={"fields": changed})
    return Enrolled(node=node, is_new=is_new, changed=() if is_new else tuple(changed))


@transaction.atomic
def set_cordon(*, node: Node, is_cordoned: bool, actor: Actor, reason: str) -> Node:
    """Keep a node from new reservations, or let it have them again; what is promised stays. Doing it twice is once."""
    locked = Node.objects.select_for_update(of=("self",), no_key=True).get(pk=node.pk)
    if locked.is_cordoned != is_cordoned:
        locked.is_cordoned = is_cordoned
        locked.save(update_fields=["is_cordoned"])
        kind = "node.cordoned" if is_cordoned else "node.uncordoned"
        _tell(actor=actor, subject=locked.ref, kind=kind, details={"reason": reason[:500]})
    node.is_cordoned = is_cordoned
    return node


def _bill_of(facts: NodeFacts) -> dict[str, Any]:
    bill: dict[str, Any] = {}
    if facts.drives:
        bill["drives"] = [
            {"name": d.name, "serial": d.serial, "model": d.model, "size_bytes": d.size_bytes} for d in facts.drives
        ]
        bill["boot_drive"] = facts.drives[0].serial
    if facts.gpu_serials:
        bill["gpus"] = list(facts.gpu_serials)
    return bill


def _bring_up_bmc(node: Node, facts: BmcFacts) -> list[str]:
    row = BmcEndpoint.objects.filter(node=node).first() or BmcEndpoint(node=node)
    is_new = row.pk is None
    moved = not is_new and (row.address, row.port) != (facts.address, facts.port)
    values = {
        "driver": facts.driver,
        "address": facts.address,
        "port": facts.port,
        "username": facts.username,
        "cipher_suite": facts.cipher_suite,
    }
    changed = [f"bmc.{name}" for name in _assign(row, values)]
    if is_new or row.password() != facts.password:
        row.set_password(facts.password)
        changed.append("bmc.password")
    if moved:
        row.certificate_sha256 = ""
    if is_new or changed:
        row.save()
    return changed


def _bring_up(
    model: type[_Row], *, key: Mapping[str, Any], values: Mapping[str, Any], actor: Actor, subject: str
) -> _Row:
    manager = model._default_manager  # noqa: SLF001 - Django's documented model API
    row = manager.filter(**key).first()
    is_new = row is None
    if row is None:
        row = model(**key)
    changed = _assign(row, values)
    if is_new or changed:
        _save(row)
        kind = f"{model._meta.model_name}.{'enrolled' if is_new else 'facts_changed'}"  # noqa: SLF001 - likewise
        _tell(actor=actor, subject=subject, kind=kind, details={"fields": [] if is_new else changed})
    return row


def _assign(row: models.Model, values: Mapping[str, Any]) -> list[str]:
    """Set what differs; the names of what did."""
    changed = [name for name, value in values.items() if getattr(row, name, None) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _save(row: models.Model) -> None:
    """Raises InvalidRequest with Django's words about the first field that is wrong."""
    try:
        # An empty bill of hardware is what a node has whose parts the inspection will list.
        row.full_clean(exclude=["hardware_bill"], validate_constraints=True)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(f"{row}: {name}: {' '.join(messages)}", field=name) from error
    row.save()


def _named(model: type[_Row], code: str, field_name: str) -> _Row:
    row = model._default_manager.filter(code=code).first()  # noqa: SLF001 - Django's documented model API
    if row is None:
        raise InvalidRequest(f"there is no {field_name} {code!r}", field=field_name)
    return row


def _tell(*, actor: Actor, subject: str, kind: str, details: dict[str, Any]) -> None:
    audit.record(
        log_tenant_id=None, kind=kind, subject_ref=subject[:80], actor=actor, details=details, at=database_now()
    )
