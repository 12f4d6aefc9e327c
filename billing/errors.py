"""What can go wrong with money, and whose turn it then is."""

from typing import ClassVar

from django.utils.translation import gettext_noop as _

from common.errors import Conflict, DomainError, Fault, NotFound, PlatformFault


class NoPrice(NotFound):
    """The price book has nothing for this site and node type at this moment."""

    code = "no-price"
    hint = _("this combination is not sold at present")


class InsufficientFunds(DomainError):
    """The money that may be held does not cover the next hour; ``needed`` and ``available`` are in the context."""

    code = "insufficient-funds"
    status = 402
    hint = _("add prepaid credit or a card on the billing page, or release what you no longer need")


class SellerMissing(PlatformFault):
    """No legal entity sells by default: nothing can be priced with tax."""

    code = "seller-missing"
    fault = Fault.OPERATOR
    retryable = False
    hint = _("the operator must enter the selling company and mark it as default")


class TaxRateMissing(PlatformFault):
    """No tax rate is known for the country of the seller or buyer at that time."""

    code = "tax-rate-missing"
    fault = Fault.OPERATOR
    retryable = False
    hint = _("the operator must load the tax rates: manage.py load_tax_rates")


class MeteringOverlap(Conflict):
    """The node is already metered for that time: nobody may pay twice for one second."""

    code = "metering-overlap"
    fault = Fault.PLATFORM


class LedgerUnbalanced(PlatformFault):
    """Entries that do not sum to zero were about to be posted; a fault of the program."""

    code = "ledger-unbalanced"
    status: ClassVar[int] = 500
    retryable = False


class CardsNotConfigured(DomainError):
    """The operator runs without a card processor."""

    code = "cards-not-configured"
    status = 409
    fault = Fault.OPERATOR
    hint = _("cards are not configured here; usage is paid from prepaid credit")


class CardDeclined(DomainError):
    """The bank refused; ``reason`` in the context is the processor's stable word for why."""

    code = "card-declined"
    status = 402
    hint = _("use another card, or ask your bank")


class AuthenticationRequired(DomainError):
    """The bank wants the card's owner to confirm this payment; ``payment_ref`` in the context can be continued."""

    code = "authentication-required"
    status = 402
    hint = _("confirm the payment with your bank on the billing page")


class GatewayUnavailable(PlatformFault):
    """The card processor gave no usable answer; what was asked may or may not have happened."""

    code = "gateway-unavailable"


class GatewayRefused(PlatformFault):
    """The card processor refuses the platform itself: wrong key, or a request it cannot accept."""

    code = "gateway-refused"
    fault = Fault.OPERATOR
    retryable = False
    hint = _("check CHAPEK_STRIPE_KEY and its permissions")


class BadWebhook(DomainError):
    """Unsigned, wrongly signed, too old or not readable."""

    code = "bad-webhook"
    status = 400
