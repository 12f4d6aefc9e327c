"""Jobs and their steps, boots and their one-time tokens, evidence of erasure and health."""

from provisioning.models.boot import BmcTurn, BootSession
from provisioning.models.evidence import EraseRecord, HealthFinding, HealthRecord
from provisioning.models.jobs import PRIVATE_KEY, USER_DATA, Job, JobStep

__all__ = [
    "PRIVATE_KEY",
    "USER_DATA",
    "BmcTurn",
    "BootSession",
    "EraseRecord",
    "HealthFinding",
    "HealthRecord",
    "Job",
    "JobStep",
]
