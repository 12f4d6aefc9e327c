"""Who acts: a user in the portal, an API key, a member of the operator's staff, or the platform itself."""

from dataclasses import dataclass, field, replace
from enum import StrEnum


class ActorKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    STAFF = "staff"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The author of an act, as written to the audit log.

    ``ref`` is an opaque id (never an e-mail), ``tenant_id`` the tenant in whose name they act, ``role`` their role
    there, ``scopes`` what an API key was given, ``request_id`` ties log lines, jobs and audit events together.
    """

    kind: ActorKind
    ref: str
    tenant_id: int | None = None
    user_id: int | None = None
    role: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    request_id: str = ""

    def for_request(self, request_id: str) -> "Actor":
        return replace(self, request_id=request_id)


def system_actor(*, name: str, request_id: str = "") -> Actor:
    """The platform itself: a worker, a reconciler, the clock. ``name`` says which part."""
    return Actor(kind=ActorKind.SYSTEM, ref=f"system:{name}", request_id=request_id)
