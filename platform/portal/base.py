"""The one base of every page behind the log-in.

It lets in who is logged in, acts for a tenant and holds the page's permission; everything that a view shows or changes
goes through ``self.actor``. What a room refuses becomes a page, a notice or a message, never a crash.
"""

from http import HTTPStatus
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import View
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from accounts.models import Membership, Tenant
from accounts.permissions import permissions_of
from accounts.roles import Permission
from common.actors import Actor, ActorKind
from common.errors import DomainError, Forbidden, InvalidRequest, NotFound


class PortalRequest(HttpRequest):
    """What the middlewares add."""

    actor: Actor | None
    membership: Membership | None
    htmx: HtmxDetails


class PortalView(View):
    """A page or an act of the portal.

    ``permission`` is what the actor's role must hold; ``page`` is the template that ``show`` renders.
    """

    permission: ClassVar[Permission] = Permission.VIEW
    page: ClassVar[str] = ""
    request: PortalRequest

    @property
    def actor(self) -> Actor:
        """Who acts; ``dispatch`` has seen to it that there is one with a tenant."""
        actor = self.request.actor
        assert actor is not None  # noqa: S101 - dispatch refuses everybody else
        return actor

    @property
    def tenant(self) -> Tenant:
        membership = self.request.membership
        assert membership is not None  # noqa: S101 - likewise
        return membership.tenant

    def may(self, permission: Permission) -> bool:
        return permission.value in permissions_of(actor=self.actor)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        gate = self.gate()
        if gate is not None:
            return gate
        try:
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise InvalidRequest(_("The address holds a character that means nothing."))
            return super().dispatch(request, *args, **kwargs)
        except NotFound as error:
            raise Http404(error.message) from error
        except DomainError as error:
            return self.refused(error)

    def gate(self) -> HttpResponse | None:
        """Where to send those who may not enter; None for those who may."""
        actor = self.request.actor
        if actor is None:
            if self.request.htmx:
                return HttpResponseClientRedirect(reverse("account_login"))
            return redirect_to_login(self.request.get_full_path())
        if actor.kind is ActorKind.STAFF:
            return render(self.request, "portal/staff.html", status=HTTPStatus.FORBIDDEN)
        if actor.tenant_id is None:
            if self.request.htmx:
                return HttpResponseClientRedirect(reverse("portal:organisation"))
            return redirect("portal:organisation")
        if not self.may(self.permission):
            return self.refused(
                Forbidden(
                    _("Your role does not allow this: %(what)s.") % {"what": self.permission.label},
                    hint=_("ask an owner or administrator of your organisation"),
                )
            )
        return None

    def show(self, *, status: int = HTTPStatus.OK, page: str = "", **context: Any) -> HttpResponse:
        return TemplateResponse(self.request, page or self.page, context, status=status)

    def refused(self, error: DomainError) -> HttpResponse:
        """A foreseen refusal: a notice where htmx asked for a part, else a page of its own."""
        part = bool(self.request.htmx)
        page = "portal/parts/refusal.html" if part else "portal/refused.html"
        return render(self.request, page, {"error": error}, status=error.status)

    def tell(self, error: DomainError) -> None:
        """Keep a refusal for the next page, where an act is followed by a redirect."""
        messages.error(self.request, said(error))

    def done(self, text: str) -> None:
        messages.success(self.request, text)


def said(error: DomainError) -> str:
    """A refusal in words: what is the matter, and what to do about it."""
    return f"{sentence(error.message)} {sentence(error.hint)}".strip()


def sentence(hint: str) -> str:
    """``ask for a new quote`` as a sentence of its own; hints come translated or marked for translation."""
    text = _(hint) if hint else ""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""
