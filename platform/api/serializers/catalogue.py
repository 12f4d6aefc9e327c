"""What is sold, where, for how much, and how much of it is free."""

from rest_framework import serializers

from inventory.models import Image


class GpuSerializer(serializers.Serializer[object]):
    model = serializers.CharField(source="gpu_model.code")
    count = serializers.IntegerField(source="gpu_count")
    memory_gib = serializers.IntegerField(source="gpu_model.memory_gib", help_text="Of one GPU.")


class NodeTypeSerializer(serializers.Serializer[object]):
    code = serializers.CharField()
    name = serializers.CharField()
    gpu = GpuSerializer(source="*")
    cpu_cores = serializers.IntegerField()
    memory_gib = serializers.IntegerField()
    drive_count = serializers.IntegerField()
    drive_gib = serializers.IntegerField(help_text="Of one drive.")
    network = serializers.CharField(source="nic_summary", allow_blank=True)


class SiteSerializer(serializers.Serializer[object]):
    code = serializers.CharField()
    name = serializers.CharField()
    city = serializers.CharField()
    country = serializers.CharField()
    latitude = serializers.DecimalField(max_digits=8, decimal_places=5)
    longitude = serializers.DecimalField(max_digits=8, decimal_places=5)


class StockSerializer(serializers.Serializer[object]):
    """One node type at one site."""

    site = serializers.CharField(source="site_code")
    site_name = serializers.CharField()
    city = serializers.CharField()
    country = serializers.CharField()
    node_type = serializers.CharField(source="node_type_code")
    gpu_model = serializers.CharField()
    gpu_count = serializers.IntegerField()
    free_now = serializers.IntegerField(help_text="Nodes that could start now and stay for an hour at least.")
    total = serializers.IntegerField()
    eur_per_gpu_hour = serializers.DecimalField(
        max_digits=18, decimal_places=6, allow_null=True, help_text="Net; null: not sold at present."
    )


class CatalogueSerializer(serializers.Serializer[object]):
    effective_at = serializers.DateTimeField(help_text="When stock and prices were read.")
    data_state = serializers.ChoiceField(choices=["fresh"], help_text="Read from the books for this answer.")
    node_types = NodeTypeSerializer(many=True)
    sites = SiteSerializer(many=True)
    stock = StockSerializer(many=True)


class ImageSerializer(serializers.ModelSerializer[Image]):
    class Meta:
        model = Image
        fields = ["code", "version", "name", "default_user", "min_disk_gib", "sha256", "end_of_life_on"]


class ImagesSerializer(serializers.Serializer[object]):
    results = ImageSerializer(many=True)
