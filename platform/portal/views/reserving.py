"""One page from the wish to the promise: what, where, when and how to get in on the left, the quote on the right."""

import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import selectors as accounts
from accounts.forms import SshKeyForm
from accounts.models import SshKey
from accounts.roles import Permission
from accounts.services import add_ssh_key
from common.clock import database_now
from common.errors import DomainError, NotFound
from inventory import selectors as inventory
from portal.base import PortalView
from portal.forms import LATER, NOW, AccessForm, Choices, WhatForm
from portal.templatetags.chapek import rate
from portal.views.keys import add_error
from portal.words import decision_in_words
from reservations import selectors, services
from reservations.errors import QuoteUnusable
from reservations.models import Quote
from reservations.selectors import StockLine, stock

UNPROCESSABLE = 422
REF = re.compile(r"[a-z0-9_]{1,40}")
ENTERED = ("name", "image", "user_data")


class Reserving(PortalView):
    """What the page and its parts share: the choices on offer and the forms bound to what was sent."""

    permission = Permission.RESERVE
    page = "portal/reserve.html"

    def what_form(self, data: Any = None, **initial: str) -> WhatForm:
        types = type_choices(stock(at=database_now()))
        sites = [(site.code, f"{site.city}, {site.country}") for site in inventory.open_sites()]
        return WhatForm(data, initial=initial, node_types=types, sites=sites)

    def access_form(self, data: Any = None, *, chosen: list[str] | None = None) -> AccessForm:
        images = [(image.code, str(image)) for image in inventory.offered_images()]
        keys: Choices = [(key.ref, key_label(key)) for key in accounts.ssh_keys(actor=self.actor)]
        name = database_now().strftime("run-%m%d-%H%M")
        initial = {"name": name, "ssh_keys": chosen if chosen is not None else [ref for ref, _name in keys[:1]]}
        return AccessForm(data, initial=initial, images=images, ssh_keys=keys)

    def offer(self, form: WhatForm) -> dict[str, Any]:
        """A quote for what the form says, or why there is none; what the quote panel shows."""
        if not form.is_valid():
            return {"incomplete": True}
        try:
            self.withdraw_shown()
            quote = services.quote(actor=self.actor, request=form.request())
        except DomainError as error:
            form.add_domain_error(error)
            return {"refusal": error, "decision": decision_in_words({"ruled_out": error.context.get("ruled_out", [])})}
        return quote_context(quote)

    def shown_quote(self) -> str:
        """The ref of the quote that the page showed; empty for none, and for what cannot be one."""
        shown = self.request.POST.get("quote", "")
        return shown if REF.fullmatch(shown) else ""

    def withdraw_shown(self) -> None:
        """The quote that the page showed makes room for the next: who only looks around keeps one open at a time."""
        shown = self.shown_quote()
        if shown:
            with suppress(NotFound):
                services.withdraw_quote(actor=self.actor, quote_ref=shown)


def type_choices(lines: list[StockLine]) -> Choices:
    """Each node type that some site sells, with its lowest price and what is free now at all sites."""
    by_type: dict[str, list[StockLine]] = {}
    for line in lines:
        if line.eur_per_gpu_hour is not None:
            by_type.setdefault(line.node_type_code, []).append(line)
    return [(code, type_label(offers)) for code, offers in sorted(by_type.items())]


def type_label(offers: list[StockLine]) -> SafeString:
    cheapest = min(line.eur_per_gpu_hour for line in offers if line.eur_per_gpu_hour is not None)
    free = sum(line.free_now for line in offers)
    return format_html(
        '<span class="title">{}</span><span class="sub">{}</span><span class="sub">{}</span>',
        offers[0].node_type_name,
        _("from %(rate)s per GPU-hour") % {"rate": rate(cheapest)},
        ngettext("%(free)d free now", "%(free)d free now", free) % {"free": free},
    )


def key_label(key: SshKey) -> SafeString:
    return format_html('<span class="title">{}</span><span class="sub mono">{}</span>', key.name, key.fingerprint)


def quote_context(quote: Quote) -> dict[str, Any]:
    return {
        "quote": quote,
        "estimate": quote.estimate,
        "decision": decision_in_words(quote.decision),
        "cap_lasts": _cap_lasts(quote),
        "seconds_left": max(0, int((quote.expires_at - database_now()).total_seconds())),
    }


def _cap_lasts(quote: Quote) -> timedelta | None:
    hourly = Decimal(str(quote.estimate["hourly_net"]))
    if quote.max_spend is None or hourly <= 0:
        return None
    return timedelta(hours=float(quote.max_spend / hourly))


class Reserve(Reserving):
    def get(self, request: HttpRequest) -> HttpResponse:
        wish = {name: request.GET[name] for name in ("node_type", "site") if name in request.GET}
        start = LATER if request.GET.get("when") == "later" else NOW
        return self.show(
            what=self.what_form(start=start, **wish),
            access=self.access_form(),
            key_form=SshKeyForm(prefix="new"),
            ask_at_once="node_type" in wish and start == NOW,
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Without scripts the whole page comes back: with the quote, with the key added, or as the reservation."""
        act = request.POST.get("act", "quote")
        if act == "reserve":
            return self.reserve(request)
        what = self.what_form(request.POST)
        chosen = request.POST.getlist("ssh_keys")
        key_form = SshKeyForm(prefix="new")
        if act == "add_key":
            key_form, chosen = self.add_key(request, chosen)
            return self.again(request, what=what, key_form=key_form, chosen=chosen)
        panel = self.offer(what)
        return self.again(request, what=what, key_form=key_form, chosen=chosen, **panel)

    def again(
        self, request: HttpRequest, *, what: WhatForm, key_form: SshKeyForm, chosen: list[str], **panel: Any
    ) -> HttpResponse:
        access = self.access_form(chosen=chosen)
        access.initial.update({name: request.POST[name] for name in ENTERED if name in request.POST})
        return self.show(what=what, access=access, key_form=key_form, **panel)

    def add_key(self, request: HttpRequest, chosen: list[str]) -> tuple[SshKeyForm, list[str]]:
        form = SshKeyForm(request.POST, prefix="new")
        if form.is_valid():
            try:
                key = add_ssh_key(actor=self.actor, **form.cleaned_data)
            except DomainError as error:
                add_error(form, error, default="public_key")
            else:
                return SshKeyForm(prefix="new"), [*chosen, key.ref]
        return form, chosen

    def reserve(self, request: HttpRequest) -> HttpResponseBase:
        what, access = self.what_form(request.POST), self.access_form(request.POST)
        quote = selectors.quote(actor=self.actor, ref=self.shown_quote())
        panel = quote_context(quote)
        if access.is_valid():
            try:
                made = services.reserve(
                    actor=self.actor, quote_ref=quote.ref, access=access.access(), name=access.cleaned_data["name"]
                )
            except QuoteUnusable as error:
                # Sent twice: the first one counts.
                made_before = selectors.reservations_of(actor=self.actor).filter(quote=quote).first()
                if made_before is not None:
                    return redirect("portal:reservation", ref=made_before.ref)
                panel = {"refusal": error}
            except DomainError as error:
                access.add_domain_error(error)
                if not error.context.get("field"):
                    panel = {"refusal": error}
            else:
                self.done(_("Reserved. The nodes are yours; here you see them being prepared."))
                return redirect("portal:reservation", ref=made.ref)
        return self.show(
            what=what, access=access, key_form=SshKeyForm(prefix="new"), status=UNPROCESSABLE, stays=True, **panel
        )


class QuotePanel(Reserving):
    """The panel alone, asked for by htmx whenever an answer on the left changes."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:reserve")

    def post(self, request: HttpRequest) -> HttpResponse:
        what = self.what_form(request.POST)
        return self.show(page="portal/parts/quote.html", what=what, **self.offer(what))


class KeyPanel(Reserve):
    """The list of SSH keys with the new one added and ticked, or with what is wrong with it."""

    permission = Permission.RESERVE

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:reserve")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form, chosen = self.add_key(request, request.POST.getlist("ssh_keys"))
        return self.show(page="portal/parts/ssh_keys.html", access=self.access_form(chosen=chosen), key_form=form)
