"""Which VAT a supply bears, as pure rules over facts; rates are dated rows (``TaxRate``), never code.

Sources: Council Directive 2006/112/EC, Articles 44, 45, 58, 59, 196, 226(11a); Czech Act 235/2004 Coll., section 9.
A tax adviser confirms these for each seller.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import Tenant
from billing.errors import SellerMissing, TaxRateMissing
from billing.models import LegalEntity, TaxRate, TaxTreatment

EU_COUNTRIES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905 - reads as a list of codes
)
NO_TAX = Decimal("0.00")


@dataclass(frozen=True, kw_only=True)
class TaxFacts:
    """``percent`` is 21.00 for 21 %; ``country`` whose rate it is, empty where none is due; ``note`` as invoiced."""

    treatment: TaxTreatment
    country: str
    percent: Decimal
    note: str


def treatment_of(*, seller: LegalEntity, tenant: Tenant | None) -> TaxTreatment:
    """How the seller's supply to this buyer is taxed. An unverified VAT id counts for nothing yet."""
    if tenant is None or tenant.country == seller.country:
        return TaxTreatment.DOMESTIC
    if tenant.country not in EU_COUNTRIES:
        return TaxTreatment.OUTSIDE_SCOPE
    if tenant.is_business and tenant.vat_id and tenant.vat_id_state == Tenant.VatIdState.VERIFIED:
        return TaxTreatment.REVERSE_CHARGE
    if not tenant.is_business and seller.is_oss_registered:
        return TaxTreatment.EU_CONSUMER
    return TaxTreatment.DOMESTIC


def tax_facts(*, seller: LegalEntity, tenant: Tenant | None, on: date) -> TaxFacts:
    """The treatment, the rate in force on that day, and the words for the invoice. Raises TaxRateMissing."""
    treatment = treatment_of(seller=seller, tenant=tenant)
    if treatment == TaxTreatment.REVERSE_CHARGE:
        note = _("Reverse charge: the customer accounts for the VAT (Article 196 of Council Directive 2006/112/EC).")
        return TaxFacts(treatment=treatment, country="", percent=NO_TAX, note=note)
    if treatment == TaxTreatment.OUTSIDE_SCOPE:
        note = _(
            "Not subject to EU VAT: supplied where the customer is established "
            "(Articles 44 and 59 of Council Directive 2006/112/EC)."
        )
        return TaxFacts(treatment=treatment, country="", percent=NO_TAX, note=note)
    country = tenant.country if tenant is not None and treatment == TaxTreatment.EU_CONSUMER else seller.country
    percent = rate_on(country=country, on=on)
    note = _("VAT %(country)s %(percent)s %%") % {"country": country, "percent": f"{percent.normalize():f}"}
    if treatment == TaxTreatment.DOMESTIC and tenant is not None and tenant.country != seller.country:
        note += _("; taxed as domestic because no verified VAT id is on file")
    return TaxFacts(treatment=treatment, country=country, percent=percent, note=note)


def rate_on(*, country: str, on: date) -> Decimal:
    """Per cent in force in ``country`` on that day. Raises TaxRateMissing."""
    in_force = Q(valid_until_on=None) | Q(valid_until_on__gt=on)
    rate = TaxRate.objects.filter(in_force, country=country, valid_from_on__lte=on).values_list("percent", flat=True)
    found: Decimal | None = rate.first()
    if found is None:
        raise TaxRateMissing(f"no VAT rate is known for {country} on {on}", country=country)
    return found


def default_seller() -> LegalEntity:
    """Raises SellerMissing until the operator has entered one."""
    seller = LegalEntity.objects.filter(is_default=True).first()
    if seller is None:
        raise SellerMissing("no selling company is entered")
    return seller
