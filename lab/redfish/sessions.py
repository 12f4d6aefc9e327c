"""Log-ins to one BMC: sessions with a token, a limit and an idle time, and HTTP basic authentication."""

import base64
import binascii
import hmac
import secrets
import time
from dataclasses import dataclass, field

SESSION_LIMIT = 8
IDLE_S = 1800.0


@dataclass(kw_only=True)
class Session:
    id: str
    username: str
    token: str = field(repr=False)
    used: float


class Sessions:
    """At most SESSION_LIMIT sessions, as small BMCs allow; idle ones go by themselves."""

    def __init__(self, *, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._open: dict[str, Session] = {}
        self._number = 0

    def password_matches(self, *, username: str, password: str) -> bool:
        same_name = hmac.compare_digest(username.encode(), self._username.encode())
        return hmac.compare_digest(password.encode(), self._password.encode()) and same_name

    def open(self, *, username: str) -> Session | None:
        """A new session, None when the BMC has no room for one more."""
        self._expire()
        if len(self._open) >= SESSION_LIMIT:
            return None
        self._number += 1
        session = Session(
            id=str(self._number), username=username, token=secrets.token_urlsafe(24), used=time.monotonic()
        )
        self._open[session.id] = session
        return session

    def close(self, *, session_id: str) -> bool:
        return self._open.pop(session_id, None) is not None

    def close_all(self) -> None:
        self._open.clear()

    def ids(self) -> list[str]:
        self._expire()
        return list(self._open)

    def get(self, *, session_id: str) -> Session | None:
        self._expire()
        return self._open.get(session_id)

    def authenticated(self, *, token: str | None, authorization: str | None) -> bool:
        """True for a live session's token or right basic credentials."""
        if token:
            self._expire()
            for session in self._open.values():
                if hmac.compare_digest(session.token.encode(), token.encode()):
                    session.used = time.monotonic()
                    return True
            return False
        if authorization and authorization.startswith("Basic "):
            try:
                pair = base64.b64decode(authorization[6:], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return False
            username, _, password = pair.partition(":")
            return self.password_matches(username=username, password=password)
        return False

    def _expire(self) -> None:
        oldest = time.monotonic() - IDLE_S
        self._open = {key: session for key, session in self._open.items() if session.used >= oldest}
