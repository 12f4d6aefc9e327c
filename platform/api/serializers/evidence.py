"""How a reservation goes, how to get in, and what was done: progress, connection, certificates, events."""

from rest_framework import serializers

from api.serializers.reservations import NodeSerializer
from reservations.states import ReservationState


class StepSerializer(serializers.Serializer[object]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name hides DRF's attribute
    state = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    detail = serializers.DictField()


class JobSerializer(serializers.Serializer[object]):
    id = serializers.CharField(source="job_ref")
    node = serializers.CharField(source="node_ref")
    node_name = serializers.CharField()
    kind = serializers.CharField()
    state = serializers.CharField()
    percent = serializers.IntegerField()
    eta_low_s = serializers.IntegerField(allow_null=True)
    eta_high_s = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    failure_code = serializers.CharField(allow_blank=True)
    failure_reason = serializers.CharField(allow_blank=True)
    failure_fault = serializers.CharField(allow_blank=True)
    steps = StepSerializer(many=True)


class ProgressSerializer(serializers.Serializer[object]):
    """What the event stream sends, too."""

    id = serializers.CharField()
    state = serializers.ChoiceField(choices=ReservationState.choices)
    state_text = serializers.CharField()
    is_final = serializers.BooleanField()
    jobs = JobSerializer(many=True)


class NodeConnectionSerializer(NodeSerializer):
    host_keys = serializers.ListField(child=serializers.CharField())
    known_hosts = serializers.ListField(child=serializers.CharField(), help_text="Lines for ~/.ssh/known_hosts.")
    ssh_command = serializers.CharField(allow_null=True)
    ssh_config = serializers.CharField(allow_null=True, help_text="A Host block for ~/.ssh/config.")


class ConnectSerializer(serializers.Serializer[object]):
    id = serializers.CharField()
    nodes = NodeConnectionSerializer(many=True)
    known_hosts = serializers.CharField(help_text="All lines, ready to append to a file.")
    ssh_config = serializers.CharField(help_text="All blocks, ready to include.")


class EraseRecordSerializer(serializers.Serializer[object]):
    id = serializers.CharField(source="ref")
    node = serializers.CharField(source="node.ref")
    drive_serial = serializers.CharField()
    drive_model = serializers.CharField()
    size_bytes = serializers.IntegerField()
    method = serializers.CharField()
    standard = serializers.CharField()
    samples = serializers.IntegerField(source="samples_checked", help_text="Places read back and found empty.")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()
    duration_s = serializers.IntegerField()


class HealthRecordSerializer(serializers.Serializer[object]):
    id = serializers.CharField(source="ref")
    node = serializers.CharField(source="node.ref")
    phase = serializers.CharField()
    passed = serializers.BooleanField()
    gpu_count = serializers.IntegerField()
    gpu_model = serializers.CharField()
    checked_at = serializers.DateTimeField()


class CertificatesSerializer(serializers.Serializer[object]):
    erase = EraseRecordSerializer(many=True)
    health = HealthRecordSerializer(many=True)


class EventSerializer(serializers.Serializer[object]):
    id = serializers.CharField(source="ref")
    index = serializers.IntegerField(allow_null=True, help_text="Place in the log; null until it is sealed.")
    kind = serializers.CharField()
    what = serializers.CharField(help_text="In words.")
    who = serializers.CharField(help_text="In words; opaque ids only.")
    at = serializers.DateTimeField()
    subject = serializers.CharField(source="subject_ref")
    request_id = serializers.CharField(allow_blank=True)
    details = serializers.DictField()
