"""Figures of money for Prometheus."""

from django.db.models import Count, Sum

from billing.models import Charge, Hold, Invoice
from billing.states import ChargeState, InvoiceState
from observability.metrics import Gauge


def gauges() -> list[Gauge]:
    """What is held, which invoices wait for somebody, which charges are under way."""
    held = Hold.objects.filter(released_at=None).order_by().values_list("currency")
    amounts = held.annotate(amount=Sum("amount"), count=Count("pk"))
    waiting = (InvoiceState.DRAFT, InvoiceState.ISSUED, InvoiceState.OVERDUE)
    invoices = Invoice.objects.filter(state__in=waiting).order_by().values_list("state").annotate(count=Count("pk"))
    totals = [(currency, float(amount), float(count)) for currency, amount, count in amounts] or [("EUR", 0.0, 0.0)]
    return [
        Gauge(
            name="chapek_held_amount",
            help="Money held for reservations, in whole units of the currency",
            labels=("currency",),
            values={(currency,): amount for currency, amount, _count in totals},
        ),
        Gauge(
            name="chapek_holds",
            help="Open holds",
            labels=("currency",),
            values={(currency,): count for currency, _amount, count in totals},
        ),
        Gauge(
            name="chapek_invoices",
            help="Invoices that wait: drafts to issue, issued to be paid, overdue",
            labels=("state",),
            values={(state.value,): 0.0 for state in waiting} | {(state,): float(n) for state, n in invoices},
        ),
        Gauge(
            name="chapek_charges_pending",
            help="Card charges asked for and not decided",
            values={(): float(Charge.objects.filter(state=ChargeState.PENDING).count())},
        ),
    ]
