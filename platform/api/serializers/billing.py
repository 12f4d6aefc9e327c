"""Invoices and usage as the API shows them."""

from rest_framework import serializers

from billing.models import Invoice, InvoiceLine, UsageInterval


class LineSerializer(serializers.ModelSerializer[InvoiceLine]):
    class Meta:
        model = InvoiceLine
        fields = [
            "position", "description", "from_at", "until_at", "seconds", "gpu_count", "rate", "net", "tax_treatment",
            "tax_country", "tax_percent", "tax_note",
        ]  # fmt: skip


class InvoiceSerializer(serializers.ModelSerializer[Invoice]):
    id = serializers.CharField(source="ref")
    reservation = serializers.CharField(source="reservation_ref")

    class Meta:
        model = Invoice
        fields = [
            "id", "number", "state", "reservation", "currency", "period_from_at", "period_until_at", "net", "tax",
            "gross", "drafted_at", "issued_at", "issued_on", "due_on",
        ]  # fmt: skip


class InvoiceDetailSerializer(InvoiceSerializer):
    seller = serializers.DictField()
    buyer = serializers.DictField()
    tax_summary = serializers.ListField(child=serializers.DictField())
    outstanding = serializers.SerializerMethodField()
    lines = LineSerializer(many=True)

    class Meta(InvoiceSerializer.Meta):
        fields = [*InvoiceSerializer.Meta.fields, "seller", "buyer", "tax_summary", "outstanding", "lines"]

    def get_outstanding(self, _invoice: Invoice) -> str:
        """What is still owed, two decimals; zero for a draft."""
        return str(self.context["outstanding"])


class UsageSerializer(serializers.ModelSerializer[UsageInterval]):
    id = serializers.CharField(source="ref")
    reservation = serializers.CharField(source="reservation_ref")
    project = serializers.CharField(source="project_ref")
    node = serializers.CharField(source="node_ref")
    node_type = serializers.CharField(source="node_type_code")
    site = serializers.CharField(source="site_code")
    seconds = serializers.SerializerMethodField(help_text="Whole seconds, of an open interval until now.")

    class Meta:
        model = UsageInterval
        fields = [
            "id", "state", "reservation", "project", "node", "node_type", "site", "gpu_count", "rate", "currency",
            "from_at", "until_at", "seconds", "net_amount",
        ]  # fmt: skip

    def get_seconds(self, interval: UsageInterval) -> int:
        return interval.seconds(at=self.context["at"])
