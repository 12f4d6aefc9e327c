"""What a tenant can do with quotes and reservations; each is one call, one transaction."""

from reservations.services.changes import extend, power
from reservations.services.ending import cancel, end_due, exhaust, release
from reservations.services.lifecycle import node_cleaned, node_deployed, node_deployment_failed, start_due
from reservations.services.quotes import expire_quotes, quote, withdraw_quote
from reservations.services.reserving import reserve

__all__ = [
    "cancel",
    "end_due",
    "exhaust",
    "expire_quotes",
    "extend",
    "node_cleaned",
    "node_deployed",
    "node_deployment_failed",
    "power",
    "quote",
    "release",
    "reserve",
    "start_due",
    "withdraw_quote",
]
