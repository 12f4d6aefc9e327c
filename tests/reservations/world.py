"""A site with nodes, a tenant with money, and someone who acts for it; made by the rooms' own rows and services."""

from decimal import Decimal
from itertools import count

from accounts.models import Membership, Project, SshKey, User
from accounts.roles import Role
from billing import services as billing
from billing.models import Price
from common.actors import Actor, ActorKind
from inventory.models import BmcEndpoint, Fabric, GpuModel, Image, Node, NodeType, Pool, Rack, Site, Stock
from inventory.states import NodeState
from reservations import services
from reservations.requests import Access, QuoteRequest
from tests.billing.world import OPERATOR, eur, make_tenant, utc

_numbers = count(1)


def make_site(*, code="kladno", country="CZ", envelope_kw=1000):
    site = Site.objects.create(
        code=code, name=code.title(), city=code.title(), country=country, latitude=50, longitude=14,
        power_envelope_kw=envelope_kw,
    )  # fmt: skip
    Pool.objects.create(site=site, code=f"{code}-pool", name=f"{code} pool")
    Rack.objects.create(site=site, code=f"{code}-r1")
    Fabric.objects.create(site=site, code=f"{code}-ib")
    return site


def make_type(*, code="h200-8", memory_gib=141, draw_w=10_000):
    gpu, _ = GpuModel.objects.get_or_create(
        code=code.split("-")[0].upper(), defaults={"memory_gib": memory_gib, "tdp_w": 700}
    )
    return NodeType.objects.create(
        code=code, name=f"8 x {gpu.code}", gpu_model=gpu, gpu_count=8, cpu_cores=112, memory_gib=2048, drive_gib=3500,
        max_draw_w=draw_w,
    )  # fmt: skip


def make_price(*, site, node_type, rate="3.00"):
    return Price.objects.create(site=site, node_type=node_type, rate=Decimal(rate), valid_from_at=utc(2020, 1, 1))


def make_node(*, site, node_type, state=NodeState.AVAILABLE, fabric=None):
    number = next(_numbers)
    node = Node.objects.create(
        name=f"node-{number}", serial=f"S{number:06}", site=site, rack=site.racks.get(), pool=site.pools.get(),
        fabric=fabric or site.fabrics.first(), node_type=node_type,
        boot_mac=f"02:00:00:00:{number // 256:02x}:{number % 256:02x}",
        state=state, tenant_address=f"10.0.{number // 250}.{number % 250 + 1}",
    )  # fmt: skip
    bmc = BmcEndpoint(node=node, driver="fake", address="127.0.0.1", port=443, username="chapek")
    bmc.set_password("not-a-real-one")
    bmc.save()
    Stock.objects.get_or_create(site=site, node_type=node_type)
    return node


def make_image():
    return Image.objects.create(
        code="debian-12", version="1", name="Debian 12", path="debian.gz", compression="gzip", sha256="0" * 64,
        size_bytes=1, default_user="debian",
    )  # fmt: skip


def make_buyer(*, credit="10000", max_nodes=50):
    """(actor, ssh key) of a tenant with money."""
    tenant = make_tenant(max_nodes=max_nodes)
    user = User.objects.create_user(f"user{next(_numbers)}@example.test", "a-long-password")
    Membership.objects.create(tenant=tenant, user=user, role=Role.OWNER)
    Project.objects.create(tenant=tenant, name="Default", is_default=True)
    if Decimal(credit):
        billing.grant_credit(tenant=tenant, amount=eur(credit), reason="test", actor=OPERATOR)
    key = SshKey.objects.create(
        tenant=tenant, name="key", public_key="ssh-ed25519 AAAA key", algorithm="ssh-ed25519", bits=256,
        fingerprint=f"SHA256:{next(_numbers)}",
    )  # fmt: skip
    actor = Actor(kind=ActorKind.USER, ref=user.ref, tenant_id=tenant.pk, user_id=user.pk, role=Role.OWNER)
    return actor, key


def ask(**fields):
    return QuoteRequest(**{"node_count": 1, "node_type": "h200-8", **fields})


def buy(actor, key, *, name="training", user_data="", **fields):
    """Quote and reserve in one go."""
    quote = services.quote(actor=actor, request=ask(**fields))
    access = Access(image_code="debian-12", ssh_key_refs=(key.ref,), user_data=user_data)
    return services.reserve(actor=actor, quote_ref=quote.ref, access=access, name=name)
