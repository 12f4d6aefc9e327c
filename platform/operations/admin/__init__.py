"""The operator's admin, by topic."""

from django.contrib import admin

from operations.admin import audit, catalogue, customers, money, nodes, people, prices, provisioning, reservations

admin.site.index_template = "operations/dashboard.html"
admin.site.index_title = "Overview"

__all__ = [
    "audit",
    "catalogue",
    "customers",
    "money",
    "nodes",
    "people",
    "prices",
    "provisioning",
    "reservations",
]
