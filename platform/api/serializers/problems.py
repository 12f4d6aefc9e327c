"""RFC 9457 problem details, for the schema; ``api.errors`` makes the bodies."""

from rest_framework import serializers


class FieldErrorSerializer(serializers.Serializer[dict[str, str]]):
    field = serializers.CharField(help_text="Path of the field in the body, as scopes.0; empty: the whole body.")
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer[dict[str, object]]):
    type = serializers.URLField(help_text="A page that explains the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What was wrong with this request, for people.")
    code = serializers.CharField(help_text="Stable; decide on this.")
    hint = serializers.CharField(help_text="What to do; may be empty.", allow_blank=True)
    request_id = serializers.CharField(help_text="Tell it when you ask for help.")
    retry = serializers.BooleanField(help_text="Whether the very same request may succeed later.")
    retry_after_s = serializers.IntegerField(required=False)
    errors = FieldErrorSerializer(many=True)  # type: ignore[assignment]  # a field of this name hides DRF's property
    facts = serializers.DictField(required=False, help_text="Plain facts of this code, as what ruled out each site.")
