"""Sellers, buyers, prices and use, made small."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from django.db import connection, transaction

from accounts.models import Tenant
from billing import services
from billing.models import LedgerEntry, LedgerTransaction, LegalEntity, Price
from billing.services import UsageSubject
from common.actors import Actor, ActorKind, system_actor
from common.money import Money
from inventory.models import GpuModel, NodeType, Site

OPERATOR = Actor(kind=ActorKind.STAFF, ref="usr_operator", role="operator")
CONDUCTOR = system_actor(name="test")
_numbers = count(1)


def eur(amount):
    return Money(Decimal(str(amount)))


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def make_tenant(**facts):
    number = next(_numbers)
    return Tenant.objects.create(
        **{
            "legal_name": f"Buyer {number} a.s.",
            "address_line": "Dlouhá 1",
            "postal_code": "110 00",
            "city": "Praha",
            "country": "CZ",
            "billing_email": f"buyer{number}@example.test",
            **facts,
        }
    )


def member_of(tenant):
    return Actor(kind=ActorKind.USER, ref="usr_member", tenant_id=tenant.pk, role="owner")


def make_price(rate="2.90", *, valid_from_at=None, valid_until_at=None, gpu_count=8):
    number = next(_numbers)
    site = Site.objects.create(
        code=f"site-{number}", name="Site", city="Kladno", country="CZ", latitude=0, longitude=0, power_envelope_kw=1000
    )
    gpu = GpuModel.objects.create(code=f"H200-{number}", memory_gib=141, tdp_w=700)
    kind = NodeType.objects.create(
        code=f"h200-{number}", name="8 x H200", gpu_model=gpu, gpu_count=gpu_count, cpu_cores=128, memory_gib=2048,
        drive_gib=7000, max_draw_w=10_000,
    )  # fmt: skip
    return Price.objects.create(
        site=site,
        node_type=kind,
        rate=Decimal(rate),
        valid_from_at=valid_from_at or utc(2020, 1, 1),
        valid_until_at=valid_until_at,
    )


def subject(node_id=None, *, gpu_count=8, pool="pool-1"):
    node_id = node_id or 1_000_000 + next(_numbers)
    return UsageSubject(
        node_id=node_id,
        node_ref=f"nod_{node_id}",
        node_type_code="h200x8",
        gpu_count=gpu_count,
        pool_code=pool,
        site_code="kladno",
        project_ref="prj_1",
    )


def use(tenant, price, *, from_at, until_at, nodes=None, reservation_ref=None, snapshot=None):
    """A finished stretch of use; returns the reservation's ref."""
    ref = reservation_ref or f"res_{next(_numbers)}"
    snapshot = snapshot or services.freeze_price(tenant=tenant, price=price)
    services.start_metering(
        tenant_id=tenant.pk, reservation_ref=ref, snapshot=snapshot, nodes=nodes or [subject()], from_at=from_at,
        actor=CONDUCTOR,
    )  # fmt: skip
    services.stop_metering(reservation_ref=ref, until_at=until_at, actor=CONDUCTOR)
    return ref


def make_seller(**facts):
    services.load_tax_rates()
    return LegalEntity.objects.create(
        **{
            "legal_name": "Chapek s.r.o.",
            "address_line": "Robotnická 1",
            "postal_code": "272 01",
            "city": "Kladno",
            "country": "CZ",
            "vat_id": "CZ12345678",
            "billing_email": "billing@example.test",
            "is_default": True,
            **facts,
        }
    )


def run_sql(statement, *values):
    """Run one statement and every deferred check."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def post_raw(*entries):
    """A ledger transaction behind the service's back: (account, amount) each, then every deferred check."""
    with transaction.atomic():
        made = LedgerTransaction.objects.create(
            key="raw", kind="raw", subject_ref="raw", actor_ref="raw", occurred_at=utc(2026, 5, 1)
        )
        for account, amount in entries:
            LedgerEntry.objects.create(transaction=made, account=account, amount=Decimal(amount))
        connection.check_constraints()
