"""VAT ids: the form and check digits of each country (python-stdnum). Whether one is registered is VIES' to say."""

import re

from django.utils.translation import gettext as _
from stdnum import get_cc_module
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from accounts.countries import EU
from accounts.errors import BadVatId

_ELSEWHERE = re.compile(r"^[A-Z0-9./ -]{4,20}$")
_PREFIX = {"GR": "EL"}


def check_vat_id(*, country: str, text: str) -> str:
    """The VAT id as it goes on documents: upper case, no spaces, with its prefix inside the Union; "" stays "".

    ``country`` is ISO 3166-1 alpha-2. Where no national form is known, 4 to 20 letters, digits and ``. / -`` pass.
    Raises BadVatId. Never asks the network.
    """
    text = text.strip().upper()
    if not text:
        return ""
    if country in EU or text.startswith("XI"):
        return _union(country, text)
    national = get_cc_module(country.lower(), "vat")
    if national is None:
        if not _ELSEWHERE.match(text):
            raise BadVatId(_("This cannot be a VAT id."), field="vat_id")
        return text
    try:
        return str(national.validate(text))
    except ValidationError:
        raise BadVatId(_("This is not a valid VAT id of the country given."), field="vat_id") from None


def _union(country: str, text: str) -> str:
    prefix = "XI" if text.startswith("XI") and country == "GB" else _PREFIX.get(country, country)
    compact = re.sub(r"[\s./-]", "", text)
    if country == "GR" and compact.startswith("GR"):
        compact = "EL" + compact[2:]
    if not compact.startswith(prefix):
        if compact[:2].isalpha() and compact[:2].lower() in eu_vat.MEMBER_STATES | {"el"}:
            raise BadVatId(
                _("The VAT id is of another country than the address."),
                hint=_("give the country in which this VAT id is registered"),
                field="vat_id",
            )
        compact = prefix + compact
    try:
        eu_vat.validate(compact)
    except ValidationError:
        raise BadVatId(_("This is not a valid VAT id of the country given."), field="vat_id") from None
    return compact
