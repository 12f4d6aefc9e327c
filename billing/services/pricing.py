"""The price book: estimates, promises, and its own upkeep."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import Tenant
from billing.models import Price, PriceSnapshot, TaxRate
from billing.rating import cents, rated, tax_on
from billing.tax import default_seller, tax_facts
from common.actors import Actor
from common.clock import database_now
from common.errors import Conflict, InvalidRequest
from compliance.audit.services import record
from inventory.models import NodeType, Site


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a reservation would cost; totals are None where it has no end. Amounts in cents of ``currency``."""

    currency: str
    rate: Decimal
    gpu_count: int
    node_count: int
    hourly_net: Decimal
    tax_hourly: Decimal
    seconds: int | None
    total_net: Decimal | None
    total_tax: Decimal | None
    tax_rate: Decimal
    tax_treatment: str
    note: str

    @property
    def hourly_gross(self) -> Decimal:
        return self.hourly_net + self.tax_hourly

    @property
    def total_gross(self) -> Decimal | None:
        return None if self.total_net is None or self.total_tax is None else self.total_net + self.total_tax

    def as_record(self) -> dict[str, Any]:
        """Plain JSON: decimals as strings."""

        def text(value: Decimal | None) -> str | None:
            return None if value is None else str(value)

        return {
            "currency": self.currency,
            "rate": str(self.rate),
            "gpu_count": self.gpu_count,
            "node_count": self.node_count,
            "hourly_net": str(self.hourly_net),
            "tax_hourly": str(self.tax_hourly),
            "hourly_gross": str(self.hourly_gross),
            "seconds": self.seconds,
            "total_net": text(self.total_net),
            "total_tax": text(self.total_tax),
            "total_gross": text(self.total_gross),
            "tax_rate": str(self.tax_rate),
            "tax_treatment": self.tax_treatment,
            "note": self.note,
        }


def hourly_gross(*, estimate: Estimate | Mapping[str, Any]) -> Decimal:
    """What an hour costs with tax, from an estimate or from its record."""
    return estimate.hourly_gross if isinstance(estimate, Estimate) else Decimal(str(estimate["hourly_gross"]))


def estimate(
    *,
    tenant: Tenant | None,
    price: Price,
    gpu_count: int,
    node_count: int,
    start_at: datetime,
    end_at: datetime | None,
) -> Estimate:
    """What ``node_count`` nodes of ``gpu_count`` GPUs each would cost; rounded per node, as the invoice will be.

    Without a tenant the seller's domestic tax is assumed. Raises SellerMissing, TaxRateMissing.
    """
    facts = tax_facts(seller=default_seller(), tenant=tenant, on=start_at.date())
    hourly_net = cents(price.hourly_of(gpu_count=gpu_count).amount) * node_count
    seconds = None if end_at is None else max(0, int((end_at - start_at).total_seconds()))
    total_net = None
    if seconds is not None:
        total_net = rated(seconds=seconds, gpu_count=gpu_count, rate=price.rate) * node_count
    return Estimate(
        currency=price.currency,
        rate=price.rate,
        gpu_count=gpu_count,
        node_count=node_count,
        hourly_net=hourly_net,
        tax_hourly=tax_on(net=hourly_net, percent=facts.percent),
        seconds=seconds,
        total_net=total_net,
        total_tax=None if total_net is None else tax_on(net=total_net, percent=facts.percent),
        tax_rate=facts.percent,
        tax_treatment=facts.treatment,
        note=facts.note,
    )


def freeze_price(*, tenant: Tenant, price: Price) -> PriceSnapshot:
    """Promise this price and today's tax facts to the tenant. Raises SellerMissing, TaxRateMissing."""
    now = database_now()
    facts = tax_facts(seller=default_seller(), tenant=tenant, on=now.date())
    return PriceSnapshot.objects.create(
        tenant=tenant,
        price=price,
        rate=price.rate,
        currency=price.currency,
        tax_treatment=facts.treatment,
        tax_country=facts.country,
        tax_percent=facts.percent,
        tax_note=facts.note,
        frozen_at=now,
    )


@transaction.atomic
def add_price(
    *,
    site: Site,
    node_type: NodeType,
    rate: Decimal,
    actor: Actor,
    valid_from_at: datetime | None = None,
    valid_until_at: datetime | None = None,
    currency: str = "EUR",
) -> Price:
    """Add a price from ``valid_from_at`` on (now, unless told later); an open one before it must be ended first.

    Raises InvalidRequest for a start in the past, an end before the start or a rate that is not positive, Conflict
    where two would be in force.
    """
    now = database_now()
    valid_from_at = valid_from_at or now
    if valid_from_at < now:
        raise InvalidRequest("a price cannot start in the past", field="valid_from_at")
    if valid_until_at is not None and valid_until_at <= valid_from_at:
        raise InvalidRequest("a price ends after it starts", field="valid_until_at")
    if rate <= 0:
        raise InvalidRequest("a price is more than zero", field="rate")
    try:
        with transaction.atomic():
            price = Price.objects.create(
                site=site,
                node_type=node_type,
                rate=rate,
                currency=currency,
                valid_from_at=valid_from_at,
                valid_until_at=valid_until_at,
            )
    except IntegrityError as error:
        if "one_price_at_a_time" not in str(error):
            raise
        raise Conflict(
            "another price is in force in that period", hint=_("end that price first, then add this one")
        ) from error
    record(
        log_tenant_id=None,
        kind="price.added",
        subject_ref=price.ref,
        actor=actor,
        details={
            "site": site.code,
            "node_type": node_type.code,
            "rate": str(rate),
            "currency": currency,
            "valid_from_at": valid_from_at.isoformat(),
        },
        at=now,
    )
    return price


@transaction.atomic
def end_price(*, price: Price, at: datetime, actor: Actor) -> Price:
    """End a price at ``at``, not in the past; promises made from it stay. Raises InvalidRequest, Conflict."""
    now = database_now()
    if at < now:
        raise InvalidRequest("a price cannot end in the past", field="at")
    locked = Price.objects.select_for_update(of=("self",), no_key=True).get(pk=price.pk)
    if locked.valid_until_at is not None and locked.valid_until_at <= now:
        raise Conflict("this price has ended already")
    locked.valid_until_at = max(at, locked.valid_from_at)
    locked.save(update_fields=["valid_until_at"])
    record(
        log_tenant_id=None,
        kind="price.ended",
        subject_ref=locked.ref,
        actor=actor,
        details={"valid_until_at": locked.valid_until_at.isoformat(), "rate": str(locked.rate)},
        at=now,
    )
    return locked


@transaction.atomic
def load_tax_rates() -> int:
    """Bring in the VAT rates that come with the product; rows that exist stay as they are. Returns how many are new."""
    known = set(TaxRate.objects.values_list("country", "valid_from_on"))
    with files("billing").joinpath("data/vat_rates.csv").open(encoding="utf-8") as table:
        rates = [
            TaxRate(
                country=row["country"],
                percent=Decimal(row["percent"]),
                valid_from_on=date.fromisoformat(row["valid_from_on"]),
                valid_until_on=date.fromisoformat(row["valid_until_on"]) if row["valid_until_on"] else None,
                source=row["source"],
            )
            for row in csv.DictReader(table)
        ]
    return len(TaxRate.objects.bulk_create(rate for rate in rates if (rate.country, rate.valid_from_on) not in known))
