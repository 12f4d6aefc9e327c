"""Writes about money. Each runs in the caller's transaction, except those of ``cards`` and ``charging`` that say so.

Locks are taken in one order: usage intervals (by key), the tenant's prepaid account (``lock_money``), then holds,
invoices, charges, and last the counter of invoice numbers.
"""

from billing.services.cards import CardSetup, begin_card_setup, refresh_card, remove_card
from billing.services.charging import (
    authenticate_charge,
    request_charge,
    request_top_up,
    run_charge,
    send_due_charges,
)
from billing.services.credit import close_credit_line, grant_credit, open_credit_line
from billing.services.holds import hold_next_hour, release_hold, renew_holds
from billing.services.invoicing import draft_invoice
from billing.services.issuing import issue_invoice, mark_overdue
from billing.services.metering import UsageSubject, cut_metering, start_metering, stop_metering
from billing.services.pricing import (
    Estimate,
    add_price,
    end_price,
    estimate,
    freeze_price,
    hourly_gross,
    load_tax_rates,
)
from billing.services.webhooks import process_webhook, process_webhooks, receive_webhook

__all__ = [
    "CardSetup",
    "Estimate",
    "UsageSubject",
    "add_price",
    "authenticate_charge",
    "begin_card_setup",
    "close_credit_line",
    "cut_metering",
    "draft_invoice",
    "end_price",
    "estimate",
    "freeze_price",
    "grant_credit",
    "hold_next_hour",
    "hourly_gross",
    "issue_invoice",
    "load_tax_rates",
    "mark_overdue",
    "open_credit_line",
    "process_webhook",
    "process_webhooks",
    "receive_webhook",
    "refresh_card",
    "release_hold",
    "remove_card",
    "renew_holds",
    "request_charge",
    "request_top_up",
    "run_charge",
    "send_due_charges",
    "start_metering",
    "stop_metering",
]
