"""Redfish errors: the answers that say no, in the shape DSP0266 asks for."""

from http import HTTPStatus

from aiohttp import web


class RedfishError(Exception):
    """An answer that is a Redfish error; `message_id` is from the Base registry."""

    def __init__(self, status: int, message_id: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message_id = message_id
        self.message = message


def bad_value(name: str, value: object) -> RedfishError:
    return RedfishError(
        HTTPStatus.BAD_REQUEST, "PropertyValueNotInList", f"The value '{value}' for the property {name} is not allowed."
    )


def missing(path: str) -> RedfishError:
    return RedfishError(HTTPStatus.NOT_FOUND, "ResourceMissingAtURI", f"The resource at the URI {path} was not found.")


def no_session() -> RedfishError:
    return RedfishError(
        HTTPStatus.UNAUTHORIZED, "NoValidSession", "There is no valid session established with the implementation."
    )


def error_response(error: RedfishError) -> web.Response:
    message_id = f"Base.1.18.{error.message_id}"
    information = {
        "@odata.type": "#Message.v1_2_1.Message",
        "MessageId": message_id,
        "Message": error.message,
        "MessageArgs": [],
        "MessageSeverity": "Critical",
        "Resolution": "None.",
    }
    response = web.json_response(
        {"error": {"code": message_id, "message": error.message, "@Message.ExtendedInfo": [information]}},
        status=error.status,
    )
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="Redfish"'
    return response
