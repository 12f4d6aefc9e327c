from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "compliance.audit"
    label = "audit"

    def ready(self) -> None:
        from common.state_machine import register_recorder
        from compliance.audit.services import record_transition

        register_recorder(record_transition)
