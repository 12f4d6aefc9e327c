"""The operator's sidebar: the fleet, the work on it, the customers, the money, the evidence."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

# The portal's one accent, in the steps that django-unfold asks for.
ACCENT = {
    "50": "oklch(97.5% 0.012 240)",
    "100": "oklch(95% 0.025 240)",
    "200": "oklch(89% 0.05 240)",
    "300": "oklch(82% 0.085 238)",
    "400": "oklch(77% 0.11 235)",
    "500": "oklch(60% 0.125 240)",
    "600": "oklch(49% 0.125 245)",
    "700": "oklch(42% 0.12 248)",
    "800": "oklch(36% 0.1 250)",
    "900": "oklch(31% 0.08 252)",
    "950": "oklch(24% 0.06 255)",
}
_GROUPS: tuple[tuple[Any, tuple[tuple[Any, str, str], ...]], ...] = (
    (
        _("Fleet"),
        (
            (_("Nodes"), "memory", "inventory_node"),
            (_("Sites"), "location_on", "inventory_site"),
            (_("Racks"), "dns", "inventory_rack"),
            (_("Pools"), "account_tree", "inventory_pool"),
            (_("Fabrics"), "hub", "inventory_fabric"),
            (_("Node types"), "category", "inventory_nodetype"),
            (_("GPU models"), "developer_board", "inventory_gpumodel"),
            (_("Images"), "album", "inventory_image"),
        ),
    ),
    (
        _("Work"),
        (
            (_("Reservations"), "event_available", "reservations_reservation"),
            (_("Quotes"), "request_quote", "reservations_quote"),
            (_("Jobs"), "engineering", "provisioning_job"),
            (_("Findings"), "troubleshoot", "provisioning_healthfinding"),
            (_("Health records"), "monitor_heart", "provisioning_healthrecord"),
            (_("Erase records"), "delete_forever", "provisioning_eraserecord"),
        ),
    ),
    (
        _("Customers"),
        (
            (_("Tenants"), "apartment", "accounts_tenant"),
            (_("Users"), "person", "accounts_user"),
            (_("E-mail addresses"), "alternate_email", "account_emailaddress"),
            (_("Second factors"), "phonelink_lock", "mfa_authenticator"),
            (_("SSH keys"), "key", "accounts_sshkey"),
            (_("API keys"), "vpn_key", "accounts_apikey"),
            (_("Legal texts"), "gavel", "accounts_legaldocument"),
        ),
    ),
    (
        _("Money"),
        (
            (_("Prices"), "sell", "billing_price"),
            (_("Invoices"), "receipt_long", "billing_invoice"),
            (_("Usage"), "timer", "billing_usageinterval"),
            (_("Holds"), "lock", "billing_hold"),
            (_("Ledger"), "account_balance", "billing_ledgertransaction"),
            (_("Accounts"), "balance", "billing_ledgeraccount"),
            (_("Charges"), "credit_card", "billing_charge"),
            (_("Credit lines"), "credit_score", "billing_creditline"),
            (_("Promised prices"), "handshake", "billing_pricesnapshot"),
            (_("Tax rates"), "percent", "billing_taxrate"),
            (_("Legal entities"), "business", "billing_legalentity"),
        ),
    ),
    (
        _("Evidence"),
        (
            (_("Audit log"), "fact_check", "audit_auditevent"),
            (_("Checkpoints"), "verified", "audit_checkpoint"),
            (_("Outbox"), "outbox", "common_outboxevent"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups and links, in the order an operator's day has."""
    overview = {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}
    return [{"items": [overview]}] + [
        {
            "title": title,
            "separator": True,
            "collapsible": False,
            "items": [
                {"title": name, "icon": icon, "link": reverse(f"admin:{model}_changelist")}
                for name, icon, model in items
            ],
        }
        for title, items in _GROUPS
    ]


def environment(request: HttpRequest) -> list[Any] | None:
    """A label at the top of the desk when this is the embedded default, so that nobody takes it for production."""
    return [_("Demonstration"), "info"] if settings.CHAPEK_EMBEDDED else None


def style(request: HttpRequest) -> str:
    return static("operations/desk.css")
