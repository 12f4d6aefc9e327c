"""Every reservation and quote, as the tenants have them. Nothing is edited here."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from operations.base import ReadOnlyAdmin, ReadOnlyInline
from reservations.models import Allocation, Quote, Reservation
from reservations.states import ReservationState

TONES = {
    ReservationState.ACTIVE: "success",
    ReservationState.DEPLOYING: "info",
    ReservationState.SCHEDULED: "info",
    ReservationState.ENDING: "warning",
    ReservationState.SUSPENDED: "danger",
    ReservationState.FAILED: "danger",
}


class AllocationInline(ReadOnlyInline):
    model = Allocation
    fields = readonly_fields = ("node", "period", "is_live", "deployed_at", "cleaned_at")


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("name", "show_state", "tenant", "site", "node_type", "node_count", "starts_at", "ends_at", "ref")
    list_filter = ("state", "site", "node_type")
    search_fields = ("ref", "name", "tenant__legal_name")
    list_select_related = ("tenant", "site", "node_type")
    exclude = ("user_data_sealed",)
    inlines = (AllocationInline,)

    @display(description=_("state"), label=TONES)
    def show_state(self, reservation: Reservation) -> str:
        return reservation.state


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    list_display = ("ref", "state", "tenant", "site", "node_type", "node_count", "created_at", "expires_at")
    list_filter = ("state", "site", "node_type")
    search_fields = ("ref", "tenant__legal_name")
    list_select_related = ("tenant", "site", "node_type")
