"""Double entry, append-only: the database refuses to change or delete a row, and a transaction that is not balanced."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.fields import amount_field, currency_field
from common.ids import new_ref
from common.tenancy import TenantOwnedModel


def transaction_ref() -> str:
    return new_ref("ltx")


def hold_ref() -> str:
    return new_ref("hld")


class AccountKind(models.TextChoices):
    """Debits are positive: what a tenant prepaid, what was earned and what is owed as tax have negative balances."""

    PREPAID = "prepaid", _("Prepaid by a tenant")
    RECEIVABLE = "receivable", _("Invoiced to a tenant, not paid")
    ACCRUED = "accrued", _("Used by a tenant, not invoiced")
    REVENUE = "revenue", _("Earned by a pool")
    TAX = "tax", _("VAT owed to the state")
    CARDS = "cards", _("Money at the card processor")
    BANK = "bank", _("Money in the bank")
    GOODWILL = "goodwill", _("Credit given away")
    BAD_DEBT = "bad_debt", _("Given up")


class LedgerAccount(TenantOwnedModel):
    """One account per kind, tenant or pool, and currency. A tenant's prepaid row is also the lock on its money.

    Accounts of pools and of the platform have no tenant, and are visible to none.
    """

    kind = models.CharField(max_length=12, choices=AccountKind)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # the one kind of tenant's row that may be nobody's
        "accounts.Tenant", on_delete=models.PROTECT, null=True, related_name="+"
    )
    pool_code = models.CharField(max_length=40, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="", help_text=_("Of a tax account"))
    currency = currency_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "tenant", "pool_code", "country", "currency"],
                nulls_distinct=False,
                name="one_ledger_account",
            ),
        ]

    def __str__(self) -> str:
        owner = self.pool_code or self.country or self.tenant_id or "platform"
        return f"{self.get_kind_display()}: {owner} ({self.currency})"


class LedgerTransaction(TenantOwnedModel):
    """One event that moved money. ``key`` makes posting the same event twice impossible.

    ``subject_ref`` is the invoice, charge or reservation it is about: an invoice's outstanding amount is the sum of
    the receivable entries about it.
    """

    ref = models.CharField(max_length=40, unique=True, default=transaction_ref, editable=False)
    key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=30)
    tenant = models.ForeignKey(  # type: ignore[assignment]  # the one kind of tenant's row that may be nobody's
        "accounts.Tenant", on_delete=models.PROTECT, null=True, related_name="+"
    )
    subject_ref = models.CharField(max_length=40, db_index=True)
    reservation_ref = models.CharField(max_length=40, blank=True, default="", db_index=True)
    memo = models.CharField(max_length=300, blank=True, default="")
    actor_ref = models.CharField(max_length=80)
    occurred_at = models.DateTimeField(help_text=_("When it happened"))
    posted_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_ref}"


class LedgerEntry(models.Model):
    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries")
    amount = amount_field(help_text=_("Debit positive, credit negative"))

    class Meta:
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.amount}"


class Hold(TenantOwnedModel):
    """Money a reservation may count on: what it used and is not invoiced, and, while it runs, its next hour.

    Not in the ledger, because nothing has been owed yet. ``warned_level`` is the last warning given (0, 80, 100 %).
    """

    ref = models.CharField(max_length=40, unique=True, default=hold_ref, editable=False)
    reservation_ref = models.CharField(max_length=40)
    amount = amount_field()
    hourly_gross = amount_field()
    currency = currency_field()
    ends_at = models.DateTimeField(
        null=True, help_text=_("Fixed end of the reservation: no more is held than until then")
    )
    is_running = models.BooleanField(default=True, help_text=_("Holds its next hour"))
    warned_level = models.PositiveSmallIntegerField(default=0)
    exhausted_at = models.DateTimeField(null=True)
    placed_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant"], name="hold_open", condition=Q(released_at=None))]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="hold_is_never_negative"),
            models.UniqueConstraint(
                fields=["reservation_ref"], condition=Q(released_at=None), name="one_open_hold_per_reservation"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} for {self.reservation_ref}"
