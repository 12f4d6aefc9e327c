"""Pages that need no log-in: the front door, live stock, legal texts, the colour switch."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from accounts.models import LegalDocument
from accounts.selectors import documents_in_force
from common.clock import database_now
from inventory import selectors as inventory
from portal.context import THEME_COOKIE, THEMES
from reservations import selectors
from reservations.selectors import StockLine

_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class StockRow:
    """A line of stock with what a whole node costs, net EUR an hour."""

    line: StockLine
    node_hour: Decimal | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)


def stock_context() -> dict[str, Any]:
    """Every site and type, free ones first in each site; two queries."""
    at = database_now()
    lines = [
        StockRow(line, line.eur_per_gpu_hour * line.gpu_count if line.eur_per_gpu_hour is not None else None)
        for line in selectors.stock(at=at)
    ]
    return {"lines": lines, "at": at}


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    context = {**stock_context(), "node_types": inventory.offered_node_types()}
    return render(request, "portal/public/front.html", context)


@require_safe
def stock(request: HttpRequest) -> HttpResponse:
    """The stock table alone, as htmx fetches it every ten seconds."""
    return render(request, "portal/parts/stock.html", stock_context())


@require_safe
def legal(request: HttpRequest, kind: str) -> HttpResponse:
    """The version of a legal text that is in force today."""
    if kind not in LegalDocument.Kind.values:
        raise Http404
    in_force = documents_in_force(on=database_now().date())
    document = next((item for item in in_force if item.kind == kind), None)
    context = {"document": document, "kind_label": LegalDocument.Kind(kind).label}
    return render(request, "portal/public/legal.html", context)


@require_safe
def favicon(_request: HttpRequest) -> HttpResponse:
    """Browsers ask for this name where a document names no icon, as JSON does not."""
    return redirect(static("portal/mark.svg"))


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the choice of colours in a cookie, so that it holds without scripts and before log-in."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/"
    response = HttpResponseRedirect(target)
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(
            THEME_COOKIE, chosen, max_age=_YEAR, samesite="Lax", secure=request.is_secure(), httponly=True
        )
    else:
        response.delete_cookie(THEME_COOKIE)
    return response
