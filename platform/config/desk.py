"""The operator's sidebar: the fleet, the work on it, the customers, the money, the evidence."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

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
            (_("Charges"), "credit_card", "billing_charge"),
            (_("Tax rates"), "percent", "billing_taxrate"),
            (_("Legal entities"), "business", "billing_legalentity"),
        ),
    ),
    (
        _("Evidence"),
        (
            (_("Audit log"), "fact_check", "audit_auditevent"),
            (_("Checkpoints"), "verified", "audit_checkpoint"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups and links, in the order an operator's day has."""
    return [
        {
            "title": title,
            "separator": True,
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
