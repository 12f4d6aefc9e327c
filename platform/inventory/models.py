"""What the operator owns: sites, pools, fabrics, racks, types of hardware, nodes and their BMCs, images."""

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common import vault
from common.ids import new_ref
from inventory.states import NodeState

CODE = RegexValidator(r"^[a-z][a-z0-9-]{1,39}$", _("lower-case letters, digits and hyphens"))
BMC_PASSWORD = vault.register_column(
    model="inventory.BmcEndpoint", field="password_sealed", context="inventory.bmc.password"
)


def node_ref() -> str:
    return new_ref("nod")


class Site(models.Model):
    """A modular data centre."""

    code = models.CharField(max_length=40, unique=True, validators=[CODE])
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    latitude = models.DecimalField(max_digits=8, decimal_places=5)
    longitude = models.DecimalField(max_digits=8, decimal_places=5)
    power_envelope_kw = models.PositiveIntegerField(help_text=_("Kilowatts the site may draw"))
    is_open = models.BooleanField(_("open for new reservations"), default=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.name} ({self.country})"


class Pool(models.Model):
    """The investment vehicle that owns hardware at a site; revenue is attributed to it."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="pools")
    code = models.CharField(max_length=40, unique=True, validators=[CODE])
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Fabric(models.Model):
    """Nodes that reach each other over one InfiniBand or RoCE fabric."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="fabrics")
    code = models.CharField(max_length=40, unique=True, validators=[CODE])
    technology = models.CharField(max_length=20, default="infiniband")

    def __str__(self) -> str:
        return self.code


class Rack(models.Model):
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="racks")
    code = models.CharField(max_length=40, unique=True, validators=[CODE])
    power_limit_kw = models.PositiveIntegerField(default=120)

    def __str__(self) -> str:
        return self.code


class GpuModel(models.Model):
    """Dated facts of one GPU; what is not known stays null and is never guessed."""

    code = models.CharField(max_length=40, unique=True)
    vendor = models.CharField(max_length=40, default="NVIDIA")
    memory_gib = models.PositiveIntegerField()
    tdp_w = models.PositiveIntegerField()
    introduced_on = models.DateField(null=True, blank=True)
    source = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return self.code


class NodeType(models.Model):
    """What is sold: a whole node of a kind."""

    code = models.CharField(max_length=40, unique=True, validators=[CODE])
    name = models.CharField(max_length=100)
    gpu_model = models.ForeignKey(GpuModel, on_delete=models.PROTECT, related_name="node_types")
    gpu_count = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    cpu_cores = models.PositiveIntegerField()
    memory_gib = models.PositiveIntegerField()
    drive_gib = models.PositiveIntegerField()
    drive_count = models.PositiveIntegerField(default=1)
    nic_summary = models.CharField(max_length=100, blank=True, default="")
    max_draw_w = models.PositiveIntegerField()
    is_offered = models.BooleanField(default=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name

    @property
    def gpu_memory_gib(self) -> int:
        return self.gpu_count * self.gpu_model.memory_gib


class Node(models.Model):
    """One machine. ``state`` is changed by ``provisioning`` alone; ``holder`` is the tenant whose log it writes to."""

    ref = models.CharField(max_length=40, unique=True, default=node_ref, editable=False)
    name = models.CharField(max_length=60, unique=True)
    serial = models.CharField(max_length=60, unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="nodes")
    rack = models.ForeignKey(Rack, on_delete=models.PROTECT, related_name="nodes")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes")
    fabric = models.ForeignKey(Fabric, on_delete=models.PROTECT, related_name="nodes", null=True, blank=True)
    node_type = models.ForeignKey(NodeType, on_delete=models.PROTECT, related_name="nodes")
    boot_mac = models.CharField(max_length=17, unique=True)
    hardware_bill = models.JSONField(default=dict, help_text=_("Serial numbers and sizes as enrolled"))
    state = models.CharField(max_length=12, choices=NodeState, default=NodeState.ENROLLED)
    state_changed_at = models.DateTimeField(db_default=Now())
    state_reason = models.TextField(blank=True, default="")
    holder = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    is_cordoned = models.BooleanField(_("cordoned: no new reservations"), default=False)
    # The operator enters these until networks are driven by the platform.
    tenant_address = models.GenericIPAddressField(_("tenant address"))
    tenant_ssh_port = models.PositiveIntegerField(_("SSH port"), default=22)
    tenant_gateway = models.GenericIPAddressField(_("gateway"), null=True, blank=True)
    switch_port = models.CharField(_("switch port"), max_length=80, blank=True, default="")
    enrolled_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["site", "node_type", "state"], name="node_stock")]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_tenant_id(self) -> int | None:
        return self.holder_id


class Stock(models.Model):
    """One row per site and node type, there to be locked: who sells or re-packs this stock holds its row."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="stocks")
    node_type = models.ForeignKey(NodeType, on_delete=models.PROTECT, related_name="stocks")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "node_type"], name="one_stock_row")]

    def __str__(self) -> str:
        return f"{self.node_type_id} at {self.site_id}"


class BmcEndpoint(models.Model):
    """How to reach a node's BMC. The password is sealed and write-only; the certificate is pinned at first contact."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="bmc")
    driver = models.CharField(max_length=20, default="redfish")
    address = models.CharField(max_length=100)
    port = models.PositiveIntegerField()
    username = models.CharField(max_length=40)
    password_sealed = models.BinaryField()
    cipher_suite = models.PositiveSmallIntegerField(default=17)
    certificate_sha256 = models.CharField(max_length=64, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.driver} {self.address}:{self.port}"

    def set_password(self, password: str) -> None:
        self.password_sealed = vault.seal(password, context=BMC_PASSWORD)

    def password(self) -> str:
        return vault.unseal(self.password_sealed, context=BMC_PASSWORD).decode()


class Image(models.Model):
    """One version of an operating system image, addressed by what it contains."""

    class Compression(models.TextChoices):
        ZSTD = "zstd", "zstd"
        GZIP = "gzip", "gzip"
        NONE = "none", _("none")

    code = models.CharField(max_length=40, validators=[CODE])
    version = models.CharField(max_length=40)
    name = models.CharField(max_length=100)
    path = models.CharField(max_length=300, help_text=_("File below CHAPEK_IMAGES_DIR"))
    compression = models.CharField(max_length=6, choices=Compression, default=Compression.ZSTD)
    sha256 = models.CharField(max_length=64, help_text=_("Of the file as stored"))
    size_bytes = models.BigIntegerField(help_text=_("Of the file as stored"))
    min_disk_gib = models.PositiveIntegerField(default=10)
    default_user = models.CharField(max_length=32)
    is_offered = models.BooleanField(default=True)
    end_of_life_on = models.DateField(null=True, blank=True)
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["code", "-added_at"]
        constraints = [models.UniqueConstraint(fields=["code", "version"], name="one_image_per_version")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
