"""Tenant, projects and keys as the API shows and takes them."""

from rest_framework import serializers

from accounts.models import ApiKey, Project, SshKey
from accounts.roles import Permission, Role, Scope
from accounts.states import TenantState

type_of_ref = "Opaque id."


class ProjectSerializer(serializers.ModelSerializer[Project]):
    id = serializers.CharField(source="ref", help_text=type_of_ref)

    class Meta:
        model = Project
        fields = ["id", "name", "is_default", "created_at"]


class SshKeySerializer(serializers.ModelSerializer[SshKey]):
    id = serializers.CharField(source="ref", read_only=True, help_text=type_of_ref)

    class Meta:
        model = SshKey
        fields = ["id", "name", "public_key", "algorithm", "bits", "fingerprint", "created_at"]


class NewSshKeySerializer(serializers.Serializer[SshKey]):
    name = serializers.CharField(max_length=80, required=False, default="", help_text="Default: the key's comment.")
    public_key = serializers.CharField(max_length=12_000, help_text="One line, as in ~/.ssh/id_ed25519.pub.")


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    id = serializers.CharField(source="ref", read_only=True, help_text=type_of_ref)
    prefix = serializers.SerializerMethodField(help_text="The part that may be shown.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    made_by = serializers.CharField(source="created_by.ref")

    class Meta:
        model = ApiKey
        fields = ["id", "name", "prefix", "scopes", "made_by", "created_at", "expires_at", "revoked_at", "last_used_at"]

    def get_prefix(self, key: ApiKey) -> str:
        return f"ck_{key.prefix}"


class ApiKeyWithSecretSerializer(ApiKeySerializer):
    secret = serializers.SerializerMethodField(help_text="Shown in this answer and never again.")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "secret"]

    def get_secret(self, _key: ApiKey) -> str:
        return str(self.context["secret"])


class MakeApiKeySerializer(serializers.Serializer[ApiKey]):
    name = serializers.CharField(max_length=80, help_text="What it is for, to know it again.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=len(Scope),
        help_text="read, write, billing; each opens nothing that your own role does not have.",
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Default: a year.")


class TenantSerializer(serializers.Serializer[object]):
    id = serializers.CharField(help_text=type_of_ref)
    legal_name = serializers.CharField()
    country = serializers.CharField()
    vat_id = serializers.CharField(allow_blank=True)
    vat_id_state = serializers.CharField()
    state = serializers.ChoiceField(choices=TenantState.choices)
    suspension_reason = serializers.CharField(allow_blank=True)


class BalanceSerializer(serializers.Serializer[object]):
    """Money of the tenant; ``available`` is what new reservations may still hold."""

    currency = serializers.CharField()
    prepaid = serializers.DecimalField(max_digits=18, decimal_places=2)
    credit_line = serializers.DecimalField(max_digits=18, decimal_places=2)
    receivable = serializers.DecimalField(max_digits=18, decimal_places=2, help_text="Invoiced, not paid.")
    accrued = serializers.DecimalField(max_digits=18, decimal_places=2, help_text="Used, not invoiced.")
    held = serializers.DecimalField(max_digits=18, decimal_places=2, help_text="Set aside for running reservations.")
    available = serializers.DecimalField(max_digits=18, decimal_places=2)


class LimitsSerializer(serializers.Serializer[object]):
    nodes = serializers.IntegerField(help_text="Nodes promised at once, at most.")
    nodes_held = serializers.IntegerField()
    ssh_keys = serializers.IntegerField()
    api_keys = serializers.IntegerField()
    user_data_bytes = serializers.IntegerField()
    reads = serializers.CharField(help_text="Rate limit of reading requests per key, as 600/min.")
    writes = serializers.CharField(help_text="Rate limit of writing requests per key.")


class DocumentSerializer(serializers.Serializer[object]):
    kind = serializers.CharField()
    version = serializers.CharField()


class AccountSerializer(serializers.Serializer[object]):
    tenant = TenantSerializer()
    role = serializers.ChoiceField(choices=Role.choices)
    permissions = serializers.ListField(child=serializers.ChoiceField(choices=Permission.choices))
    balance = BalanceSerializer(allow_null=True, help_text="Null for those who may not see cost.")
    limits = LimitsSerializer()
    documents_to_accept = DocumentSerializer(many=True)
