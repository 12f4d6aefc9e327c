"""Refusals in Stripe's form: an HTTP status and a body with `error`."""

from typing import Any


class Fault(Exception):
    """`status` and `body` go to the caller as they are."""

    def __init__(self, status: int, *, kind: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, **{k: v for k, v in facts.items() if v is not None}}}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Fault:
    return Fault(status, kind="invalid_request_error", message=message, param=param, code=code)


def missing(kind: str, ref: str) -> Fault:
    return invalid(f"No such {kind}: '{ref}'", param="id", code="resource_missing", status=404)


def card_error(message: str, *, code: str, decline_code: str | None, **facts: Any) -> Fault:
    return Fault(402, kind="card_error", message=message, code=code, decline_code=decline_code, **facts)
