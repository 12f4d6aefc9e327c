"""Roles of a member in a tenant, and what each may do. Permissions are named after the domain call they guard."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Administrator")
    ENGINEER = "engineer", _("Engineer")
    BILLING = "billing", _("Billing")
    AUDITOR = "auditor", _("Auditor")
    OVERSEER = "overseer", _("Overseer")


class Permission(TextChoices):
    VIEW = "view", _("See reservations and keys")
    RESERVE = "reserve", _("Quote, reserve, extend, release, power")
    MANAGE_KEYS = "manage_keys", _("Add and remove SSH keys")
    MANAGE_API_KEYS = "manage_api_keys", _("Make and revoke API keys")
    MANAGE_TENANT = "manage_tenant", _("Edit the tenant's facts, accept terms, manage members")
    VIEW_BILLING = "view_billing", _("See cost and invoices")
    PAY = "pay", _("Manage means of payment and charge them")
    VIEW_AUDIT = "view_audit", _("Read and download the audit log")


_ALL = frozenset(Permission.values)
GRANTS: dict[str, frozenset[str]] = {
    Role.OWNER: _ALL,
    Role.ADMIN: _ALL,
    Role.ENGINEER: frozenset(
        {Permission.VIEW, Permission.RESERVE, Permission.MANAGE_KEYS, Permission.VIEW_BILLING, Permission.VIEW_AUDIT}
    ),
    Role.BILLING: frozenset({Permission.VIEW, Permission.VIEW_BILLING, Permission.PAY}),
    Role.AUDITOR: frozenset({Permission.VIEW, Permission.VIEW_BILLING, Permission.VIEW_AUDIT}),
    Role.OVERSEER: frozenset({Permission.VIEW, Permission.VIEW_AUDIT}),
}
# What a suspended tenant loses, whatever the role: it may read, release and pay, but start nothing new.
NEEDS_GOOD_STANDING = frozenset({Permission.RESERVE, Permission.MANAGE_API_KEYS})


class Scope(TextChoices):
    READ = "read", _("Read everything the maker of the key may see")
    WRITE = "write", _("Reserve, operate and release nodes; manage SSH keys")
    BILLING = "billing", _("See cost and invoices, and pay")


# An API key is given scopes; each opens these permissions, never more than its maker's role has at that moment.
# No scope opens the management of keys or of the tenant: a leaked key cannot make another one.
SCOPES: dict[str, frozenset[str]] = {
    Scope.READ: frozenset({Permission.VIEW, Permission.VIEW_BILLING, Permission.VIEW_AUDIT}),
    Scope.WRITE: frozenset({Permission.VIEW, Permission.RESERVE, Permission.MANAGE_KEYS}),
    Scope.BILLING: frozenset({Permission.VIEW_BILLING, Permission.PAY}),
}
