"""The operator's admin, one file per room."""

from operations.admin import accounts, audit, billing, inventory, provisioning, reservations

__all__ = ["accounts", "audit", "billing", "inventory", "provisioning", "reservations"]
