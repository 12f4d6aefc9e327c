"""Who may do what in whose name: users, tenants, projects, memberships, keys."""

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.roles import Role
from accounts.states import TenantState
from common import vault
from common.ids import new_ref
from common.tenancy import TenantOwnedModel

MFA_SECRET = vault.register_column(model="accounts.MfaSecret", field="sealed", context="accounts.mfa.secret")


def user_ref() -> str:
    return new_ref("usr")


def tenant_ref() -> str:
    return new_ref("ten")


def project_ref() -> str:
    return new_ref("prj")


def ssh_key_ref() -> str:
    return new_ref("key")


def api_key_ref() -> str:
    return new_ref("api")


def mfa_secret_ref() -> str:
    return new_ref("mfa")


def invitation_ref() -> str:
    return new_ref("ivt")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        """For ``manage.py createsuperuser``: who has the machine need not prove an address to it by mail."""
        from allauth.account.models import EmailAddress  # its models need this one

        user = self.create_user(email, password, is_staff=True, is_superuser=True, **fields)
        EmailAddress.objects.using(self._db).create(user=user, email=user.email, verified=True, primary=True)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person. ``ref`` stands for them in the audit log, so that the log holds no e-mail address."""

    ref = models.CharField(max_length=40, unique=True, default=user_ref, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    full_name = models.CharField(_("name"), max_length=150, blank=True, default="")
    is_staff = models.BooleanField(_("operator's staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.email


class Tenant(models.Model):
    """A customer: the buyer on invoices and the owner of everything its members make."""

    class VatIdState(models.TextChoices):
        NONE = "none", _("No VAT id given")
        UNVERIFIED = "unverified", _("Given, not verified: taxed as domestic")
        VERIFIED = "verified", _("Verified")

    ref = models.CharField(max_length=40, unique=True, default=tenant_ref, editable=False)
    legal_name = models.CharField(_("legal name"), max_length=200)
    address_line = models.CharField(_("street and number"), max_length=200)
    postal_code = models.CharField(_("postal code"), max_length=20)
    city = models.CharField(_("city"), max_length=100)
    country = models.CharField(_("country"), max_length=2, help_text=_("ISO 3166-1 alpha-2"))
    vat_id = models.CharField(_("VAT id"), max_length=20, blank=True, default="")
    vat_id_state = models.CharField(max_length=12, choices=VatIdState, default=VatIdState.NONE)
    is_business = models.BooleanField(_("buys as a business"), default=True)
    billing_email = models.EmailField(_("e-mail for invoices"))
    state = models.CharField(max_length=12, choices=TenantState, default=TenantState.ACTIVE, db_index=True)
    state_changed_at = models.DateTimeField(db_default=Now())
    suspension_reason = models.TextField(_("reason of the suspension"), blank=True, default="")
    screening_note = models.TextField(_("screening"), blank=True, default="", help_text=_("What the operator checked"))
    max_nodes = models.PositiveIntegerField(_("limit of nodes at once"), default=50)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.legal_name

    @property
    def audit_tenant_id(self) -> int:
        return self.pk


class Membership(TenantOwnedModel):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role, default=Role.ENGINEER)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"


class Invitation(TenantOwnedModel):
    """A person is asked by e-mail to join. The link carries a secret, of which only a SHA-256 is kept."""

    ref = models.CharField(max_length=40, unique=True, default=invitation_ref, editable=False)
    email = models.EmailField(_("e-mail address"))
    role = models.CharField(max_length=12, choices=Role, default=Role.ENGINEER)
    token_sha256 = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="one_open_invitation_per_address",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant_id} as {self.role}"


class Project(TenantOwnedModel):
    """Where reservations and their cost are filed."""

    ref = models.CharField(max_length=40, unique=True, default=project_ref, editable=False)
    name = models.CharField(_("name"), max_length=80)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="one_project_name_per_tenant"),
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(is_default=True), name="one_default_project_per_tenant"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SshKey(TenantOwnedModel):
    """A public key that is put on nodes. Only sound keys get this far (``accounts.ssh_keys``)."""

    ref = models.CharField(max_length=40, unique=True, default=ssh_key_ref, editable=False)
    name = models.CharField(_("name"), max_length=80)
    public_key = models.TextField(_("public key"))
    algorithm = models.CharField(max_length=40)
    bits = models.PositiveIntegerField()
    fingerprint = models.CharField(max_length=60)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "fingerprint"], name="one_ssh_key_per_tenant"),
            models.UniqueConstraint(fields=["tenant", "name"], name="one_ssh_key_name_per_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint})"


class ApiKey(TenantOwnedModel):
    """``ck_<prefix>_<secret>``: the prefix is shown and looked up, of the secret only a SHA-256 is kept.

    The secret is 256 random bits, so a fast hash loses nothing.
    """

    ref = models.CharField(max_length=40, unique=True, default=api_key_ref, editable=False)
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(max_length=16, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.name} (ck_{self.prefix}_...)"


class MfaSecret(models.Model):
    """The secret of a second factor, sealed. The factor itself (allauth's row) holds only this row's ref."""

    ref = models.CharField(max_length=40, unique=True, default=mfa_secret_ref, editable=False)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.ref


class LegalDocument(models.Model):
    """Terms, acceptable use, data processing: a version in force from a day on."""

    class Kind(models.TextChoices):
        TERMS = "terms", _("Terms of service")
        ACCEPTABLE_USE = "acceptable_use", _("Acceptable use policy")
        DATA_PROCESSING = "data_processing", _("Data-processing agreement")

    kind = models.CharField(max_length=20, choices=Kind)
    version = models.CharField(max_length=20)
    text = models.TextField()
    text_sha256 = models.CharField(max_length=64)
    in_force_from = models.DateField()

    class Meta:
        ordering = ["kind", "-in_force_from"]
        constraints = [models.UniqueConstraint(fields=["kind", "version"], name="one_text_per_version")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.version}"


class LegalAcceptance(TenantOwnedModel):
    """Who accepted which version, when, in whose name."""

    document = models.ForeignKey(LegalDocument, on_delete=models.PROTECT, related_name="acceptances")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    accepted_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "document"], name="one_acceptance_per_document")]

    def __str__(self) -> str:
        return f"{self.tenant_id} accepted {self.document_id}"
