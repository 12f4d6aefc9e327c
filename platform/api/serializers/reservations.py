"""Quotes, reservations and what is seen of them, as the API shows and takes them."""

from typing import Any

from rest_framework import serializers

from billing.models import PriceSnapshot
from placement.model import WorkloadClass
from reservations.models import Quote
from reservations.states import QuoteState, ReservationState

WORKLOADS = [item.value for item in WorkloadClass]
# The names that reservations.selectors.actions gives; a test compares the two.
ACTIONS = ["release", "cancel", "extend", "power_on", "power_off", "power_cycle", "reboot"]


class WorkloadSerializer(serializers.Serializer[object]):
    workload_class = serializers.ChoiceField(choices=WORKLOADS, required=False, default=WorkloadClass.GENERAL.value)
    gpu_memory_gib = serializers.IntegerField(
        min_value=1, max_value=1_000_000, required=False, allow_null=True, default=None, help_text="Per node, at least."
    )
    countries = serializers.ListField(
        child=serializers.RegexField(r"^[A-Z]{2}$"), required=False, default=list, max_length=60, help_text="Residency."
    )


class QuoteRequestSerializer(serializers.Serializer[object]):
    """``node_type``, or a ``workload`` that says enough to pick one."""

    node_type = serializers.CharField(
        max_length=40, required=False, allow_null=True, default=None, help_text="A code of the catalogue."
    )
    node_count = serializers.IntegerField(
        min_value=1, max_value=10_000, required=False, default=1, help_text="Whole nodes."
    )
    site = serializers.CharField(
        max_length=40,
        required=False,
        allow_null=True,
        default=None,
        help_text="A code of the catalogue; null: the best.",
    )
    starts_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Null: now.")
    ends_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Null: until it is released."
    )
    max_spend = serializers.DecimalField(
        max_digits=12, decimal_places=2, required=False, allow_null=True, default=None, help_text="Cap, net EUR."
    )
    project = serializers.CharField(
        max_length=40, required=False, allow_null=True, default=None, help_text="Default: the default project."
    )
    workload = WorkloadSerializer(required=False, help_text="What they are for and what they must have.")


class EstimateSerializer(serializers.Serializer[object]):
    """Totals are null where the end is open."""

    currency = serializers.CharField()
    rate = serializers.CharField(help_text="Net per GPU-hour.")
    gpu_count = serializers.IntegerField()
    node_count = serializers.IntegerField()
    hourly_net = serializers.CharField()
    tax_hourly = serializers.CharField()
    hourly_gross = serializers.CharField()
    seconds = serializers.IntegerField(allow_null=True)
    total_net = serializers.CharField(allow_null=True)
    total_tax = serializers.CharField(allow_null=True)
    total_gross = serializers.CharField(allow_null=True)
    tax_rate = serializers.CharField(help_text="Per cent.")
    tax_treatment = serializers.CharField()
    note = serializers.CharField(allow_blank=True)


class ChoiceSerializer(serializers.Serializer[object]):
    site = serializers.CharField()
    node_type = serializers.CharField()
    eur_per_hour = serializers.CharField()
    score = serializers.CharField()


class RuledOutSerializer(serializers.Serializer[object]):
    site = serializers.CharField()
    node_type = serializers.CharField()
    constraint = serializers.CharField()
    reason = serializers.CharField()


class DecisionSerializer(serializers.Serializer[object]):
    policy = serializers.CharField()
    chosen = ChoiceSerializer(allow_null=True)
    runners_up = ChoiceSerializer(many=True)
    ruled_out = RuledOutSerializer(many=True)


class QuoteSerializer(serializers.ModelSerializer[Quote]):
    id = serializers.CharField(source="ref")
    state = serializers.ChoiceField(choices=QuoteState.choices)
    project = serializers.CharField(source="project.ref")
    site = serializers.CharField(source="site.code")
    node_type = serializers.CharField(source="node_type.code")
    estimate = EstimateSerializer()
    decision = DecisionSerializer()
    at_the_end = serializers.SerializerMethodField(help_text="What happens when the reservation is over, in words.")

    class Meta:
        model = Quote
        fields = [
            "id", "state", "project", "site", "node_type", "node_count", "starts_at", "ends_at", "max_spend",
            "estimate", "decision", "at_the_end", "created_at", "expires_at",
        ]  # fmt: skip

    def get_at_the_end(self, quote: Quote) -> str:
        return str(self.context["at_the_end"](quote))


class ReserveSerializer(serializers.Serializer[object]):
    quote = serializers.CharField(max_length=40, help_text="Id of an open quote; its price is what counts.")
    name = serializers.CharField(max_length=63, help_text="Host name of the nodes: letters, digits, hyphens.")
    image = serializers.CharField(max_length=40, help_text="A code of GET /images; its newest version is taken.")
    ssh_keys = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=50, help_text="Ids of SSH keys."
    )
    user_data = serializers.CharField(
        required=False, default="", allow_blank=True, trim_whitespace=False, help_text="For cloud-init; 64 KiB at most."
    )


class ActionSerializer(serializers.Serializer[object]):
    name = serializers.ChoiceField(choices=ACTIONS)
    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name hides DRF's attribute
    available = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True, help_text="Why it is not possible now.")


class ActSerializer(serializers.Serializer[object]):
    action = serializers.ChoiceField(choices=ACTIONS, help_text="One that actions of the reservation calls available.")
    node = serializers.CharField(
        max_length=40, required=False, allow_null=True, default=None, help_text="Power: one node; null: all of them."
    )
    ends_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Extend: the new end; null: until it is released."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["action"] == "extend" and "ends_at" not in attrs:
            raise serializers.ValidationError({"ends_at": "extend needs ends_at; null means until released"})
        return attrs


class PriceSerializer(serializers.ModelSerializer[PriceSnapshot]):
    """What was promised when the quote was made."""

    id = serializers.CharField(source="ref")
    per_gpu_hour = serializers.DecimalField(source="rate", max_digits=18, decimal_places=6)

    class Meta:
        model = PriceSnapshot
        fields = ["id", "per_gpu_hour", "currency", "tax_treatment", "tax_percent", "tax_note"]


class CostSerializer(serializers.Serializer[object]):
    """Until now: node-seconds, and what an hour of what still runs adds, net."""

    seconds = serializers.IntegerField()
    net = serializers.DecimalField(max_digits=18, decimal_places=2)
    tax = serializers.DecimalField(max_digits=18, decimal_places=2)
    gross = serializers.DecimalField(max_digits=18, decimal_places=2)
    hourly_net = serializers.DecimalField(max_digits=18, decimal_places=2)
    currency = serializers.CharField()


class NodeSerializer(serializers.Serializer[object]):
    id = serializers.CharField(source="ref")
    name = serializers.CharField()
    state = serializers.CharField(help_text="promised, a node state while it serves this reservation, or released.")
    power = serializers.ChoiceField(choices=["on", "off", "unknown"])
    address = serializers.CharField(allow_null=True)
    port = serializers.IntegerField(allow_null=True)
    user = serializers.CharField(allow_null=True)


class ReservationSerializer(serializers.Serializer[object]):
    """In lists; one alone also has nodes and actions."""

    id = serializers.CharField(source="reservation.ref")
    name = serializers.CharField(source="reservation.name")
    state = serializers.ChoiceField(source="reservation.state", choices=ReservationState.choices)
    state_text = serializers.CharField(source="reservation.get_state_display")
    state_changed_at = serializers.DateTimeField(source="reservation.state_changed_at")
    failure = serializers.CharField(source="reservation.failure", allow_blank=True)
    project = serializers.CharField(source="reservation.project.ref")
    site = serializers.CharField(source="reservation.site.code")
    node_type = serializers.CharField(source="reservation.node_type.code")
    node_count = serializers.IntegerField(source="reservation.node_count")
    image = serializers.CharField(source="reservation.image.code")
    image_version = serializers.CharField(source="reservation.image.version")
    starts_at = serializers.DateTimeField(source="reservation.starts_at")
    ends_at = serializers.DateTimeField(source="reservation.ends_at", allow_null=True)
    created_at = serializers.DateTimeField(source="reservation.created_at")
    created_by = serializers.CharField(source="reservation.created_by_ref")
    active_at = serializers.DateTimeField(source="reservation.active_at", allow_null=True)
    released_at = serializers.DateTimeField(source="reservation.released_at", allow_null=True)
    ended_at = serializers.DateTimeField(source="reservation.ended_at", allow_null=True)
    max_spend = serializers.DecimalField(
        source="reservation.max_spend", max_digits=12, decimal_places=2, allow_null=True
    )
    price = PriceSerializer(source="reservation.price_snapshot")
    cost = CostSerializer(allow_null=True, help_text="Null for those who may not see cost.")


class ReservationDetailSerializer(ReservationSerializer):
    quote = serializers.CharField(source="reservation.quote.ref")
    nodes = NodeSerializer(many=True)
    actions = ActionSerializer(many=True)
