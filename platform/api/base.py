"""The one base of every API view: who acts, what they may, whose rows they see, and how a POST is done once."""

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.roles import Permission
from api import idempotency
from api.parsers import BoundedJSONParser
from api.permissions import Everybody, actor_of
from api.schema import AutoSchema
from common.actors import Actor
from common.errors import InvalidRequest, NotFound
from common.tenancy import TenantScopeMissing


class BaseViewSet(GenericViewSet[Any]):
    """Declare ``needs`` (action -> permission) and ``rows`` (what of the tenant's is meant); nothing is open otherwise.

    ``rows`` starts from ``.visible_to(actor)``, in a selector. A ref of another tenant is not found, as if it were not.
    """

    needs: ClassVar[dict[str, Permission]] = {}
    key_required: ClassVar[frozenset[str]] = frozenset()
    """Actions whose POST must bear an Idempotency-Key; every other POST may."""
    not_found: ClassVar[str | Promise] = ""
    lookup_field = "ref"
    lookup_url_kwarg = "ref"
    lookup_value_regex = "[a-z0-9_]{1,40}"
    schema = AutoSchema()
    parser_classes = [BoundedJSONParser]
    cursor_field = "ref"
    filter_backends = []
    metadata_class = None

    @property
    def actor(self) -> Actor:
        """Raises TenantScopeMissing where a view forgot to ask for permission."""
        actor = actor_of(self.request)
        if actor is None:
            raise TenantScopeMissing("this view needs an actor")
        return actor

    def needed_permission(self) -> Permission | None:
        return self.needs.get(self.action or "")

    def rows(self) -> QuerySet[Any]:
        raise TenantScopeMissing(f"{type(self).__name__} does not say whose rows it shows")

    def get_queryset(self) -> QuerySet[Any]:
        return self.rows()

    def get_object(self) -> Any:
        """The row of this tenant with the ref in the path. Raises NotFound."""
        found: Model | None = self.rows().filter(**{self.lookup_field: self.kwargs[self.lookup_url_kwarg]}).first()
        if found is None:
            raise NotFound(str(self.not_found) or _("There is nothing of that id."))
        return found

    def page(self, **context: Any) -> Response:
        """One page of ``rows`` through the view's serializer, which is told ``context``."""
        paginator = self.paginator
        assert paginator is not None  # noqa: S101 - set for the whole API
        items = paginator.paginate_queryset(self.filter_queryset(self.rows()), self.request, view=self) or []
        serializer = self.get_serializer_class()
        shown = serializer(items, many=True, context={**self.get_serializer_context(), **context})
        return paginator.get_paginated_response(shown.data)

    def body(self) -> dict[str, Any]:
        """The request's body through the action's serializer. Raises ValidationError."""
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        checked: dict[str, Any] = serializer.validated_data
        return checked

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - the signature of the base
        """As DRF's, but refused requests count against the rate limit too."""
        self.format_kwarg = self.get_format_suffix(**kwargs)
        neg = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = neg
        if self.action in {None, "metadata"}:
            raise MethodNotAllowed(request.method or "")
        self.perform_authentication(request)
        self.check_throttles(request)
        self.check_permissions(request)
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise InvalidRequest(_("The address holds a character that means nothing."))

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As DRF's, with each POST that bears an Idempotency-Key done once."""
        self.args, self.kwargs = args, kwargs
        wrapped = self.initialize_request(request, *args, **kwargs)
        self.request = wrapped
        self.headers = self.default_response_headers
        try:
            self.initial(wrapped, *args, **kwargs)
            handler = getattr(self, (wrapped.method or "").lower(), self.http_method_not_allowed)
            if wrapped.method == "POST":
                response = self._post_once(wrapped, lambda: handler(wrapped, *args, **kwargs))
            else:
                response = handler(wrapped, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every error becomes a problem document
            response = self.handle_exception(error)
        self.response = self.finalize_response(wrapped, response, *args, **kwargs)
        return self.response

    def _post_once(self, request: Request, act: Any) -> Response:
        actor = actor_of(request)
        key = idempotency.key_of(request, required=self.action in self.key_required)
        if key is None or actor is None or actor.tenant_id is None:
            answered: Response = act()
            return answered
        return idempotency.once(request=request, actor=actor, key=key, act=act)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        finished = super().finalize_response(request, response, *args, **kwargs)
        budget = getattr(request._request, "chapek_budget", None)  # noqa: SLF001 - put there by the throttle
        for name, value in (budget.headers() if budget else {}).items():
            finished[name] = value
        if "Cache-Control" not in finished:
            finished["Cache-Control"] = "no-store"
        return finished


class PublicViewSet(BaseViewSet):
    """What a visitor may see: no account, no tenant's rows."""

    permission_classes = [Everybody]
