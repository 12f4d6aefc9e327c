"""A seller and a price book for the demonstration sites. Idempotent: what exists is left alone."""

from decimal import Decimal

from django.db import transaction

from billing import selectors, services
from billing.errors import NoPrice
from billing.models import LegalEntity
from common.actors import system_actor
from common.clock import database_now
from inventory.models import Node, NodeType, Site

DEMO = system_actor(name="demonstration")
# EUR per GPU-hour, net, by GPU and country: what power and demand make of it.
RATES = {
    "B300": {"CZ": "5.20", "HU": "5.40", "PL": "5.50", "NL": "5.90"},
    "H200": {"CZ": "2.90", "HU": "3.00", "PL": "3.10", "NL": "3.40"},
}
ELSEWHERE = {"B300": "5.60", "H200": "3.20"}
OTHER_GPU = "2.50"


def ensure() -> None:
    """The VAT rates, a default seller, and a price for every node type that stands at a site."""
    with transaction.atomic():
        services.load_tax_rates()
        if not LegalEntity.objects.filter(is_default=True).exists():
            LegalEntity.objects.create(
                legal_name="Chapek Demonstration s.r.o.",
                address_line="Robotnická 1",
                postal_code="272 01",
                city="Kladno",
                country="CZ",
                company_id="00000000",
                vat_id="CZ00000000",
                register_note="Demonstration only; not a registered company",
                billing_email="billing@chapek.invalid",
                is_default=True,
            )
        now = database_now()
        pairs = Node.objects.values_list("site_id", "node_type_id").distinct().order_by("site_id", "node_type_id")
        sites = Site.objects.in_bulk([site_id for site_id, _type in pairs])
        types = NodeType.objects.select_related("gpu_model").in_bulk([type_id for _site, type_id in pairs])
        for site_id, type_id in pairs:
            try:
                selectors.price_at(site_id=site_id, node_type_id=type_id, at=now)
            except NoPrice:
                rate = _rate(gpu=types[type_id].gpu_model.code, country=sites[site_id].country)
                services.add_price(site=sites[site_id], node_type=types[type_id], rate=rate, actor=DEMO)


def _rate(*, gpu: str, country: str) -> Decimal:
    for name, by_country in RATES.items():
        if name.lower() in gpu.lower():
            return Decimal(by_country.get(country, ELSEWHERE[name]))
    return Decimal(OTHER_GPU)
