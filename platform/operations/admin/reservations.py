"""Every reservation and quote, as the tenants have them. Nothing is edited here."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from operations.base import ReadOnlyAdmin, ReadOnlyInline, shown
from operations.filters import FailedReservationFilter
from reservations.models import Allocation, Quote, Reservation
from reservations.states import QuoteState, ReservationState

TONES = {
    ReservationState.ACTIVE: "success",
    ReservationState.DEPLOYING: "info",
    ReservationState.SCHEDULED: "info",
    ReservationState.ENDING: "warning",
    ReservationState.SUSPENDED: "danger",
    ReservationState.FAILED: "danger",
}
_ABOUT_IT = (
    ("provisioning_job", _("Jobs")),
    ("billing_usageinterval", _("Usage")),
    ("billing_invoice", _("Invoices")),
    ("provisioning_eraserecord", _("Erase records")),
    ("audit_auditevent", _("Audit log")),
)


class AllocationInline(ReadOnlyInline):
    model = Allocation
    verbose_name_plural = _("nodes")
    fields = readonly_fields = ("node", "period", "is_live", "deployed_at", "cleaned_at")
    related = ("node",)
    tab = False


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("name", "show_state", "tenant", "site", "node_type", "node_count", "starts_at", "ends_at", "ref")
    list_filter = (FailedReservationFilter, "state", "site", "node_type")
    search_fields = ("ref", "name", "tenant__legal_name", "allocations__node__name")
    list_select_related = ("tenant", "site", "node_type")
    ordering = ("-pk",)
    readonly_fields = ("show_state", "show_links")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "show_state"),
                    ("tenant", "project"),
                    ("site", "node_type"),
                    ("node_count", "image"),
                    ("starts_at", "ends_at"),
                    "failure",
                    "show_links",
                )
            },
        ),
        (
            _("Times"),
            {
                "classes": ["tab"],
                "fields": (
                    ("created_at", "active_at"),
                    ("released_at", "ended_at"),
                    ("state_changed_at", "created_by_ref"),
                ),
            },
        ),
        (_("Money"), {"classes": ["tab"], "fields": (("price_snapshot", "max_spend"), "quote")}),
        (_("Decision"), {"classes": ["tab"], "fields": ("workload", "decision", "ssh_public_keys", "ref")}),
    )
    inlines = (AllocationInline,)

    @shown(description=_("state"), label=TONES, ordering="state")
    def show_state(self, reservation: Reservation) -> str:
        return reservation.state

    @shown(description=_("about it"))
    def show_links(self, reservation: Reservation) -> SafeString:
        query = urlencode({"q": reservation.ref})
        links = ((f"{reverse(f'admin:{name}_changelist')}?{query}", label) for name, label in _ABOUT_IT)
        return format_html_join(" · ", '<a class="text-link" href="{}">{}</a>', links)


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    list_display = ("ref", "show_state", "tenant", "site", "node_type", "node_count", "created_at", "expires_at")
    list_filter = ("state", "site", "node_type")
    search_fields = ("ref", "tenant__legal_name")
    list_select_related = ("tenant", "site", "node_type")
    ordering = ("-pk",)

    @shown(description=_("state"), label={QuoteState.OPEN: "info", QuoteState.USED: "success"}, ordering="state")
    def show_state(self, quote: Quote) -> str:
        return quote.state
