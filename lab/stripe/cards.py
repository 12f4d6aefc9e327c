"""Test cards and how each behaves, after Stripe's own list of them."""

from dataclasses import dataclass

DECLINED_WORDS = "Your card was declined."
AUTHENTICATE_WORDS = "Your card was declined. This transaction requires authentication."


@dataclass(frozen=True, kw_only=True)
class TestCard:
    """`declines_with` is a decline code for every charge; `asks_owner` is `never`, `at_setup` or `always`."""

    __test__ = False  # not a test class, whatever its name begins with
    number: str
    brand: str = "visa"
    declines_with: str = ""
    asks_owner: str = "never"

    @property
    def last4(self) -> str:
        return self.number[-4:]


CARDS = {
    "pm_card_visa": TestCard(number="4242424242424242"),
    "pm_card_mastercard": TestCard(number="5555555555554444", brand="mastercard"),
    "pm_card_visa_chargeDeclined": TestCard(number="4000000000000002", declines_with="generic_decline"),
    "pm_card_chargeCustomerFail": TestCard(number="4000000000000341", declines_with="generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": TestCard(
        number="4000000000009995", declines_with="insufficient_funds"
    ),
    "pm_card_visa_chargeDeclinedExpiredCard": TestCard(number="4000000000000069", declines_with="expired_card"),
    "pm_card_authenticationRequiredOnSetup": TestCard(number="4000002500003155", asks_owner="at_setup"),
    "pm_card_authenticationRequired": TestCard(number="4000002760003184", asks_owner="always"),
}
BY_NUMBER = {card.number: card for card in CARDS.values()}
# These fail already when they are saved; the others are accepted and fail when charged.
REFUSED_AT_SETUP = frozenset({"4000000000000002", "4000000000009995", "4000000000000069"})
