"""Glossary of the money rooms.

price         rate per GPU-hour of a node type at a site, in force over a period; ended, never edited
snapshot      the price and tax facts that one quote promised, frozen
usage         one node's time in a tenant's hands between two changes of state, whole seconds, half-open
rated         seconds x GPUs x rate / 3600, rounded once, half up, to the cent
hold          money set aside for a reservation: what it used and is not invoiced yet, and its next hour
ledger        double entry, append-only; debits positive, credits negative; each transaction sums to zero
draft         an invoice without a number, may still grow; issued: numbered, frozen, corrected by credit note only
charge        one attempt to take an amount from a card, written before the call is made
"""

from billing.models.invoice import Invoice, InvoiceLine, InvoiceSeries
from billing.models.ledger import AccountKind, Hold, LedgerAccount, LedgerEntry, LedgerTransaction
from billing.models.payment import Charge, CreditLine, PaymentCustomer, PaymentMethod, WebhookEvent
from billing.models.price import Price, PriceSnapshot
from billing.models.tax import LegalEntity, TaxRate, TaxTreatment
from billing.models.usage import UsageInterval

__all__ = [
    "AccountKind",
    "Charge",
    "CreditLine",
    "Hold",
    "Invoice",
    "InvoiceLine",
    "InvoiceSeries",
    "LedgerAccount",
    "LedgerEntry",
    "LedgerTransaction",
    "LegalEntity",
    "PaymentCustomer",
    "PaymentMethod",
    "Price",
    "PriceSnapshot",
    "TaxRate",
    "TaxTreatment",
    "UsageInterval",
    "WebhookEvent",
]
