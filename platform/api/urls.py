"""The API, version 1. Every path on this screen; a path that is not here answers with a problem, not a page."""

from typing import Any

from django.urls import path, re_path
from django.urls.resolvers import URLPattern

from api import docs, streams
from api.views import account, billing, catalogue, evidence, keys, reservations
from api.views.nothing import Nothing

app_name = "api"
_LIST: dict[str, Any] = {"get": "list"}
_ONE: dict[str, Any] = {"get": "retrieve"}

urlpatterns: list[URLPattern] = [
    path("openapi.json", docs.openapi, name="openapi"),
    path("docs/", docs.page, name="docs"),
    path("problems", docs.problems, name="problems"),
    path("catalogue", catalogue.Catalogue.as_view(_ONE), name="catalogue"),
    path("images", catalogue.Images.as_view(_ONE), name="images"),
    path("account", account.Account.as_view(_ONE), name="account"),
    path("projects", keys.Projects.as_view(_LIST), name="projects"),
    path("ssh-keys", keys.SshKeys.as_view({"get": "list", "post": "create"}), name="ssh-keys"),
    path("ssh-keys/<slug:ref>", keys.SshKeys.as_view({"get": "retrieve", "delete": "destroy"}), name="ssh-key"),
    path("api-keys", keys.ApiKeys.as_view({"get": "list", "post": "create"}), name="api-keys"),
    path("api-keys/<slug:ref>", keys.ApiKeys.as_view({"get": "retrieve", "delete": "destroy"}), name="api-key"),
    path("quotes", reservations.Quotes.as_view({"post": "create"}), name="quotes"),
    path("quotes/<slug:ref>", reservations.Quotes.as_view(_ONE), name="quote"),
    path("reservations", reservations.Reservations.as_view({"get": "list", "post": "create"}), name="reservations"),
    path("reservations/<slug:ref>", reservations.Reservations.as_view(_ONE), name="reservation"),
    path("reservations/<slug:ref>/actions", reservations.Reservations.as_view({"post": "act"}), name="actions"),
    path("reservations/<slug:ref>/progress", evidence.Progress.as_view(_ONE), name="progress"),
    path("reservations/<slug:ref>/connect", evidence.Connect.as_view(_ONE), name="connect"),
    path("reservations/<slug:ref>/certificates", evidence.Certificates.as_view(_ONE), name="certificates"),
    path("reservations/<slug:ref>/events", evidence.Events.as_view(_LIST), name="events"),
    path("reservations/<slug:ref>/events/stream", streams.reservation_events, name="stream"),
    path("reservations/<slug:ref>/audit", evidence.ReservationAudit.as_view(_ONE), name="reservation-audit"),
    path("invoices", billing.Invoices.as_view(_LIST), name="invoices"),
    path("invoices/<slug:ref>", billing.Invoices.as_view(_ONE), name="invoice"),
    path("usage", billing.Usage.as_view(_LIST), name="usage"),
    path("audit/export", evidence.TenantAudit.as_view({"get": "export"}), name="audit-export"),
    path("audit/key", evidence.TenantAudit.as_view({"get": "key"}), name="audit-key"),
    path("audit/verifier", evidence.Verifier.as_view(_ONE), name="audit-verifier"),
    re_path(
        r"^.*$", Nothing.as_view(dict.fromkeys(("get", "post", "put", "patch", "delete"), "nothing")), name="nothing"
    ),
]
