"""Structured logs with one request id throughout, and no secrets: a redacting processor is the last word."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api_?key|authorization|cookie|user_?data|private|credential", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|\bck_[a-z0-9]+_[A-Za-z0-9_-]{16,}|\b[rs]k_(live|test)_\w+|\bwhsec_[\w-]+|(?<=Bearer )\S+"
    # Paths that are keys themselves: of nodes, of mailed links, of invitations.
    r"|/(boot|images|invitations|confirm-email|key)/[A-Za-z0-9_:%.-]{20,}"
    # Passwords in addresses of databases and brokers, as drivers' errors repeat them.
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)
REDACTED = "[redacted]"


def redact(value: Any, name: str = "") -> Any:
    """The value as it may be written down: secrets by name of the field or by their own look are blanked."""
    if name and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value)
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: redact(value, "" if key == "event" else key) for key, value in event.items()}


def configure(*, debug: bool, json: bool) -> None:
    """Route structlog and the standard library through one formatter on standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("paramiko", "urllib3", "sushy", "asyncio", "httpx", "stripe", "uvicorn.access", "django.db.backends"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Answered 400 and logged as such; a page of traceback for each scanner that knocks helps nobody.
    logging.getLogger("django.security.DisallowedHost").setLevel(logging.CRITICAL)
