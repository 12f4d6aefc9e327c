"""Sentences that the API says about things, where the rooms give plain values."""

from django.utils.translation import gettext as _

from reservations.models import Quote


def at_the_end(quote: Quote) -> str:
    """What happens when the reservation that this quote would become is over."""
    parts = [
        _("It ends by itself at its end time, at its cap, or when the money held for it cannot be renewed.")
        if quote.ends_at is not None or quote.max_spend is not None
        else _("It runs until you release it, or until the money held for it cannot be renewed."),
        _("Then metering stops, every drive is erased and read back, and nothing on them can be brought back."),
        _("The draft invoice shows seconds times price."),
    ]
    return " ".join(parts)
