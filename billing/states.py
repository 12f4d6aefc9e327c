"""States of money: usage intervals, invoices, cards and charges. What each means is the sentence beside it."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from common.state_machine import Machine


class UsageState(TextChoices):
    OPEN = "open", _("The meter runs")
    CLOSED = "closed", _("Ended, rated and in the ledger; corrections are new rows")


class UsageEvent(TextChoices):
    CLOSE = "close", _("The node's time in the tenant's hands is over, or the period is invoiced")


USAGE = Machine(
    name="usage",
    states=UsageState,
    events=UsageEvent,
    table={(UsageState.OPEN, UsageEvent.CLOSE): UsageState.CLOSED},
)


class InvoiceState(TextChoices):
    DRAFT = "draft", _("Being put together; has no number")
    ISSUED = "issued", _("Numbered, sent and owed")
    PAID = "paid", _("Paid in full")
    OVERDUE = "overdue", _("Owed, and past the day it was due")
    CREDITED = "credited", _("Taken back in full by a credit note")


class InvoiceEvent(TextChoices):
    ISSUE = "issue", _("The operator issues the invoice; it gets its number")
    PAY = "pay", _("Nothing is outstanding any more")
    MISS = "miss", _("The due day passed")
    CREDIT = "credit", _("A credit note takes it back")


INVOICE = Machine(
    name="invoice",
    states=InvoiceState,
    events=InvoiceEvent,
    table={
        (InvoiceState.DRAFT, InvoiceEvent.ISSUE): InvoiceState.ISSUED,
        (InvoiceState.ISSUED, InvoiceEvent.PAY): InvoiceState.PAID,
        (InvoiceState.ISSUED, InvoiceEvent.MISS): InvoiceState.OVERDUE,
        (InvoiceState.OVERDUE, InvoiceEvent.PAY): InvoiceState.PAID,
        (InvoiceState.ISSUED, InvoiceEvent.CREDIT): InvoiceState.CREDITED,
        (InvoiceState.OVERDUE, InvoiceEvent.CREDIT): InvoiceState.CREDITED,
        (InvoiceState.PAID, InvoiceEvent.CREDIT): InvoiceState.CREDITED,
    },
)
UNPAID = frozenset({InvoiceState.ISSUED, InvoiceState.OVERDUE})


class CardState(TextChoices):
    PENDING = "pending", _("The processor waits for the card to be entered")
    ACTIVE = "active", _("On file, may be charged")
    LAPSED = "lapsed", _("Never entered")
    REMOVED = "removed", _("Taken off file")


class CardEvent(TextChoices):
    CONFIRM = "confirm", _("The processor has the card and its owner's consent")
    LAPSE = "lapse", _("The set-up ran out or failed")
    REMOVE = "remove", _("The tenant takes the card off file")


CARD = Machine(
    name="card",
    states=CardState,
    events=CardEvent,
    table={
        (CardState.PENDING, CardEvent.CONFIRM): CardState.ACTIVE,
        (CardState.PENDING, CardEvent.LAPSE): CardState.LAPSED,
        (CardState.ACTIVE, CardEvent.REMOVE): CardState.REMOVED,
    },
)


class ChargeState(TextChoices):
    PENDING = "pending", _("Written down; sent to the processor, perhaps more than once, with one key")
    ACTION_REQUIRED = "action_required", _("The bank wants the card's owner to confirm")
    SUCCEEDED = "succeeded", _("The money is ours")
    DECLINED = "declined", _("The bank said no")
    FAILED = "failed", _("The processor never answered; nothing was taken")


class ChargeEvent(TextChoices):
    SUCCEED = "succeed", _("The processor says that the money was taken")
    DECLINE = "decline", _("The processor says that the bank refused")
    REQUIRE_ACTION = "require_action", _("The processor says that the owner must confirm")
    GIVE_UP = "give_up", _("No answer in time, and the processor knows of no such payment")


CHARGE = Machine(
    name="charge",
    states=ChargeState,
    events=ChargeEvent,
    table={
        (ChargeState.PENDING, ChargeEvent.SUCCEED): ChargeState.SUCCEEDED,
        (ChargeState.PENDING, ChargeEvent.DECLINE): ChargeState.DECLINED,
        (ChargeState.PENDING, ChargeEvent.REQUIRE_ACTION): ChargeState.ACTION_REQUIRED,
        (ChargeState.PENDING, ChargeEvent.GIVE_UP): ChargeState.FAILED,
        (ChargeState.ACTION_REQUIRED, ChargeEvent.SUCCEED): ChargeState.SUCCEEDED,
        (ChargeState.ACTION_REQUIRED, ChargeEvent.DECLINE): ChargeState.DECLINED,
        # Late news of money that was taken is always believed.
        (ChargeState.DECLINED, ChargeEvent.SUCCEED): ChargeState.SUCCEEDED,
        (ChargeState.FAILED, ChargeEvent.SUCCEED): ChargeState.SUCCEEDED,
    },
)
