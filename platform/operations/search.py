"""The search of the side bar: nodes, tenants, reservations, jobs, invoices and people, a few of each."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from accounts.models import Tenant, User
from billing.models import Invoice
from inventory.models import Node
from provisioning.models import Job
from reservations.models import Reservation

MOST_OF_A_KIND = 6
SHORTEST = 3
_KINDS = (
    (Node, "memory"),
    (Reservation, "event_available"),
    (Tenant, "apartment"),
    (Invoice, "receipt_long"),
    (Job, "engineering"),
    (User, "person"),
)


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """At most six of each kind, in one bounded query each; nothing for less than three letters."""
    term = term.strip()
    if len(term) < SHORTEST:
        return []
    found = []
    for model, icon in _KINDS:
        page = admin.site.get_model_admin(model)
        meta = model._meta  # noqa: SLF001 - Django's documented model API
        if not page.has_view_permission(request):
            continue
        rows, _many = page.get_search_results(request, page.get_queryset(request), term)
        found += [
            SearchResult(
                title=str(row),
                description=str(meta.verbose_name).capitalize(),
                link=reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk]),
                icon=icon,
            )
            for row in rows.order_by("-pk").distinct()[:MOST_OF_A_KIND]
        ]
    return found
