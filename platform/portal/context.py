"""What every template of the portal and of the log-in pages knows."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from accounts.models import LegalDocument, Membership
from accounts.permissions import permissions_of
from accounts.roles import Permission
from common.actors import Actor

THEME_COOKIE = "chapek_theme"
THEMES = ("light", "dark")
SHEETS = tuple(f"portal/{name}.css" for name in ("tokens", "base", "layout", "components", "tables", "forms", "pages"))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the navigation, shown to those who hold ``permission``."""

    name: str
    label: str | Promise
    icon: str
    permission: str
    group: str | Promise = ""


ENTRIES = (
    Entry(name="home", label=_("Home"), icon="home", permission=Permission.VIEW),
    Entry(name="reserve", label=_("Reserve"), icon="plus", permission=Permission.RESERVE),
    Entry(name="reservations", label=_("Reservations"), icon="server", permission=Permission.VIEW),
    Entry(name="keys", label=_("Keys"), icon="key", permission=Permission.VIEW, group=_("Organisation")),
    Entry(name="billing", label=_("Billing"), icon="card", permission=Permission.VIEW_BILLING),
    Entry(name="team", label=_("Team"), icon="team", permission=Permission.VIEW),
    Entry(name="account", label=_("Account"), icon="user", permission=Permission.VIEW),
)


@dataclass(frozen=True, kw_only=True)
class Link:
    url: str
    label: str | Promise
    icon: str
    group: str | Promise
    current: bool


def _navigation(request: HttpRequest) -> list[Link]:
    actor: Actor | None = getattr(request, "actor", None)
    if actor is None or actor.tenant_id is None:
        return []
    allowed = permissions_of(actor=actor)
    links = []
    for entry in ENTRIES:
        if entry.permission not in allowed:
            continue
        url = reverse(f"portal:{entry.name}")
        links.append(
            Link(
                url=url,
                label=entry.label,
                icon=entry.icon,
                group=entry.group,
                current=request.path.startswith(url),
            )
        )
    return links


def chapek(request: HttpRequest) -> dict[str, Any]:
    """The context processor named in the settings. Asks the database only for what a template shows."""
    membership: Membership | None = getattr(request, "membership", None)
    theme = request.COOKIES.get(THEME_COOKIE, "")
    theme = theme if theme in THEMES else ""
    return {
        "theme": theme,
        "theme_next": {"": "light", "light": "dark", "dark": "auto"}[theme],
        "sheets": SHEETS,
        "version": settings.CHAPEK_VERSION,
        "legal_kinds": LegalDocument.Kind.choices,
        "mail_page": settings.CHAPEK_EMBEDDED,
        "navigation": SimpleLazyObject(lambda: _navigation(request)),
        "tenant": membership.tenant if membership is not None else None,
    }
