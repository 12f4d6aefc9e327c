from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common import vault
from common.ids import new_ref
from inventory.models import Node
from provisioning.models.jobs import Job

RESCUE_KEY = vault.register_column(
    model="provisioning.BootSession", field="private_key_sealed", context="provisioning.boot.private_key"
)


def boot_ref() -> str:
    return new_ref("boot")


class BootSession(models.Model):
    """One boot of one node: what it may fetch and report, once each, until it expires.

    Tokens are 256 random bits and kept as SHA-256. ``host_keys`` are what the node reported: from then on they are
    pinned for every log-in of this boot.
    """

    class Purpose(models.TextChoices):
        RESCUE = "rescue", _("Rescue system over the network")
        INSTALLED = "installed", _("Installed system from disk")

    ref = models.CharField(max_length=40, unique=True, default=boot_ref, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="boot_sessions")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="boot_sessions")
    purpose = models.CharField(max_length=9, choices=Purpose)
    mac = models.CharField(max_length=17)
    by_mac = models.BooleanField(
        default=False, help_text=_("The BMC cannot be told an address: the node may ask by its MAC address")
    )
    script_token_sha256 = models.CharField(max_length=64, blank=True, default="")
    report_token_sha256 = models.CharField(max_length=64, blank=True, default="")
    public_key = models.TextField(blank=True, default="")
    private_key_sealed = models.BinaryField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    fetched_at = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    host_keys = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["script_token_sha256"], condition=~Q(script_token_sha256=""), name="one_script_token"
            ),
            models.UniqueConstraint(
                fields=["report_token_sha256"], condition=~Q(report_token_sha256=""), name="one_report_token"
            ),
            models.UniqueConstraint(
                fields=["node", "purpose"],
                condition=Q(revoked_at=None, reported_at=None),
                name="one_open_boot_per_node",
            ),
        ]
        indexes = [models.Index(fields=["job", "purpose"], name="boot_by_job")]

    def __str__(self) -> str:
        return f"{self.purpose} {self.ref}"

    def private_key(self) -> str:
        """The key of this boot's log-ins in clear, as OpenSSH PEM."""
        assert self.private_key_sealed is not None  # noqa: S101 - every rescue boot is born with one
        return vault.unseal(bytes(self.private_key_sealed), context=RESCUE_KEY).decode()


class BmcTurn(models.Model):
    """Whose turn it is at a BMC: one command at a time over all workers, with the gap that the BMC needs.

    A row with an expiry and not an advisory lock: a lock would pin one database connection per BMC at work.
    """

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="bmc_turn")
    owner = models.CharField(max_length=80, blank=True, default="")
    held_until = models.DateTimeField(null=True, blank=True)
    next_command_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"BMC of {self.node_id}: {self.owner or 'free'}"
