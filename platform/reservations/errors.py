"""What can be refused, each with a code that clients may rely on."""

from common.errors import Conflict, InvalidRequest


class NoCapacity(Conflict):
    """Nothing can serve the request; the context lists what ruled out each candidate."""

    code = "no-capacity"
    hint = "try another site, another node type, fewer nodes or a later start"


class OutOfStock(Conflict):
    """Somebody else took the last node between quote and reservation."""

    code = "out-of-stock"
    retryable = True
    hint = "ask for a new quote; it says what is free now"


class LimitReached(Conflict):
    """The tenant's own limit, not the stock, says no."""

    code = "limit-reached"
    hint = "release nodes, or ask the operator for a higher limit"


class QuoteUnusable(Conflict):
    """The quote is expired, used or withdrawn."""

    code = "quote-unusable"
    hint = "ask for a new quote"


class UnknownChoice(InvalidRequest):
    """A site, node type, image, project or key of that name is not offered to this tenant."""

    code = "unknown-choice"
