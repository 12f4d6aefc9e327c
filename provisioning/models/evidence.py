from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import new_ref
from inventory.models import Node
from provisioning.models.jobs import Job


def erase_ref() -> str:
    return new_ref("era")


def health_ref() -> str:
    return new_ref("hea")


class EraseRecord(models.Model):
    """Proof that one drive was erased and read back; written once, when the read-back has passed."""

    class Method(models.TextChoices):
        SANITIZE_BLOCK = "nvme_sanitize_block", _("NVMe sanitize, block erase")
        SANITIZE_CRYPTO = "nvme_sanitize_crypto", _("NVMe sanitize, crypto erase")
        FORMAT_CRYPTO = "nvme_format_crypto", _("NVMe format, cryptographic erase (SES 2)")
        FORMAT_USER_DATA = "nvme_format_user_data", _("NVMe format, user data erase (SES 1)")
        ATA_SECURE_ERASE = "ata_secure_erase", _("ATA security erase unit, enhanced where offered")
        OVERWRITE = "overwrite", _("Full overwrite with zeros")

    ref = models.CharField(max_length=40, unique=True, default=erase_ref, editable=False)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="erase_records")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="erase_records")
    reservation_ref = models.CharField(max_length=40, blank=True, default="", db_index=True)
    drive_serial = models.CharField(max_length=60)
    drive_model = models.CharField(max_length=80, blank=True, default="")
    size_bytes = models.BigIntegerField()
    method = models.CharField(max_length=24, choices=Method)
    standard = models.CharField(max_length=80)
    capability = models.JSONField(default=dict, help_text=_("What the drive said it can do"))
    samples_checked = models.PositiveIntegerField()
    markers_planted = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    duration_s = models.PositiveIntegerField()
    done_by = models.CharField(max_length=60)

    class Meta:
        ordering = ["-finished_at", "drive_serial"]
        constraints = [
            models.UniqueConstraint(fields=["job", "drive_serial"], name="one_erase_per_drive_and_job"),
            models.CheckConstraint(
                condition=Q(samples_checked__gt=0, markers_planted__gt=0), name="erase_was_read_back"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} of {self.drive_serial}"


class HealthRecord(models.Model):
    """One health check of a node: what was measured, and whether it passed."""

    class Phase(models.TextChoices):
        CLEANING = "cleaning", _("After the erase, in the rescue system")
        HANDOVER = "handover", _("Before the hand-over, in the installed system")

    ref = models.CharField(max_length=40, unique=True, default=health_ref, editable=False)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="health_records")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="health_records")
    reservation_ref = models.CharField(max_length=40, blank=True, default="", db_index=True)
    phase = models.CharField(max_length=8, choices=Phase)
    passed = models.BooleanField()
    gpu_count = models.PositiveIntegerField()
    gpu_model = models.CharField(max_length=80, blank=True, default="")
    measured = models.JSONField(default=dict, help_text=_("Per GPU: serial, temperature, ECC, remapped rows"))
    checked_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-checked_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.phase} check {self.ref}"


class HealthFinding(models.Model):
    """Something found wrong with a node. Open until ``resolved_at``; some findings bar it from being sold."""

    class Kind(models.TextChoices):
        GPU_COUNT = "gpu_count", _("GPUs are missing or too many")
        GPU_MODEL = "gpu_model", _("A GPU is of another model")
        ECC = "ecc", _("Uncorrectable memory errors")
        REMAP = "remap", _("Rows of GPU memory could not be remapped, or wait for a reset")
        XID = "xid", _("The driver reported an XID error")
        THERMAL = "thermal", _("Too hot")
        DIAGNOSIS = "diagnosis", _("The GPU diagnosis failed")
        DRIVER = "driver", _("The GPU driver does not answer")
        HARDWARE = "hardware", _("Hardware differs from what was enrolled")
        DRIVE = "drive", _("A drive could not be erased or checked")
        BMC = "bmc", _("The BMC is out of reach or changed its identity")

    class Severity(models.TextChoices):
        INFO = "info", _("For information")
        WARNING = "warning", _("Watch")
        CRITICAL = "critical", _("Critical")

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="findings")
    record = models.ForeignKey(HealthRecord, on_delete=models.PROTECT, null=True, blank=True, related_name="findings")
    kind = models.CharField(max_length=12, choices=Kind)
    severity = models.CharField(max_length=8, choices=Severity)
    bars_allocation = models.BooleanField()
    part = models.CharField(max_length=80, blank=True, default="", help_text=_("Serial number or slot"))
    evidence = models.JSONField(default=dict)
    since = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-since", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["node", "kind", "part"], condition=Q(resolved_at=None), name="one_open_finding_per_part"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.part}"
