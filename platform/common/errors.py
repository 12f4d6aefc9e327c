"""Errors that can be foreseen.

Each has a stable ``code`` that clients may rely on, an HTTP status, whose fault it is, and a hint of what to do.
"""

from enum import StrEnum
from typing import Any, ClassVar


class Fault(StrEnum):
    """Whose turn it is to act when something failed."""

    TENANT = "tenant"
    OPERATOR = "operator"
    HARDWARE = "hardware"
    PLATFORM = "platform"


class DomainError(Exception):
    """Base of every foreseen error. ``context`` holds plain, non-secret facts for the log and the API answer."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    fault: ClassVar[Fault] = Fault.TENANT
    hint: str = ""
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        self.context = context


class InvalidRequest(DomainError):
    """The request cannot be understood or breaks a stated rule; ``field`` in context says where."""

    code = "invalid-request"
    status = 400


class NotFound(DomainError):
    """Nothing of that name is visible to this actor; says the same whether it exists for another or not."""

    code = "not-found"
    status = 404


class Forbidden(DomainError):
    """The actor is known, the thing is theirs, but their role or key does not allow the act."""

    code = "forbidden"
    status = 403


class Conflict(DomainError):
    """The act does not fit the present state."""

    code = "conflict"
    status = 409


class PlatformFault(DomainError):
    """Our own fault; the tenant can only wait or ask."""

    code = "platform-fault"
    status = 503
    fault = Fault.PLATFORM
    retryable = True
