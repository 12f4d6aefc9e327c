"""How a view becomes an OpenAPI operation: problems and the idempotency header are told once, here."""

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as SpectacularAutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from api.errors import CONTENT_TYPE
from api.idempotency import HEADER, LONGEST_KEY
from api.serializers.problems import ProblemSerializer

_PROBLEMS = {
    "400": "The request cannot be understood or breaks a stated rule.",
    "401": "No valid API key or session was given.",
    "403": "Your role, your key's scopes or your tenant's standing do not allow this.",
    "404": "Nothing of that id is visible to you.",
    "409": "The act does not fit the present state, or stock, money or limits do not allow it.",
    "422": "The Idempotency-Key was sent before with another request.",
    "429": "Too many requests; Retry-After says when to go on.",
}


class AutoSchema(SpectacularAutoSchema):
    """Every operation tells the problems it may answer with, every POST the idempotency header."""

    view: Any

    def get_override_parameters(self) -> list[Any]:
        if self.method != "POST" or self._is_public():
            return []
        required = self.view.action in self.view.key_required
        return [
            OpenApiParameter(
                name=HEADER,
                type=OpenApiTypes.STR,
                location=OpenApiParameter.HEADER,
                required=required,
                description=f"1 to {LONGEST_KEY} visible ASCII characters. The same key with the same request is "
                "answered again for 24 hours and never done twice.",
            )
        ]

    def _is_public(self) -> bool:
        return not self.view.needs

    def _codes(self) -> list[str]:
        codes = ["429"] if self._is_public() else ["401", "403", "429"]
        if "{" in self.path:
            codes.append("404")
        if self.method == "GET":
            codes += ["400"] if self._is_list_view() else []
        else:
            codes += ["400", "409"]
        if self.method == "POST" and not self._is_public():
            codes.append("422")
        return sorted(set(codes))

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction=direction)
        for code in self._codes():
            if code not in bodies:
                bodies[code] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    OpenApiResponse(response=ProblemSerializer, description=_PROBLEMS[code]),
                    code,
                    media_types=[CONTENT_TYPE],
                )
        return bodies


def describe_stream(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A hook of the generator: the event stream is no view of Django REST framework, so it is described by hand."""
    paths = result["paths"]
    progress = paths.get("/api/v1/reservations/{ref}/progress", {}).get("get")
    if progress is None:
        return result
    refusals = {code: answer for code, answer in progress["responses"].items() if code != "200"}
    seen = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "Id of the last message seen; it is not sent again.",
        "schema": {"type": "string"},
    }
    paths["/api/v1/reservations/{ref}/events/stream"] = {
        "get": {
            **{name: progress[name] for name in ("tags", "security") if name in progress},
            "operationId": "reservations_events_stream_retrieve",
            "summary": "Live progress as server-sent events",
            "description": "Each message is the answer of progress, as JSON; its id is made of its content. The stream "
            "ends when the reservation is over, or after ten minutes.",
            "parameters": [seen, *progress["parameters"]],
            "responses": {
                "200": {"description": "A stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
                "204": {"description": "The reservation is over and its last picture was seen."},
                **refusals,
            },
        }
    }
    return result


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself by its class
    target_class = "api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - the signature of the base
        return {"type": "http", "scheme": "bearer", "bearerFormat": "ck_<prefix>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # as above
    target_class = "api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - the signature of the base
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
