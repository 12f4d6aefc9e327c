"""Mails that this installation wrote to a folder instead of sending them: how the embedded default shows them."""

import email
import email.policy
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views import View

NAME = re.compile(r"^[0-9]{8}-[0-9]{6}-[0-9]+\.log$")
MOST_SHOWN = 100
LONGEST_BYTES = 1_000_000
_SEPARATOR = re.compile(rb"^-{79}\r?\n", re.MULTILINE)
_LINK = re.compile(r"https?://[^\s<>\"')]+")


@dataclass(frozen=True, kw_only=True)
class Mail:
    """``name`` and ``part`` find it again: one file holds what one connection sent."""

    name: str
    part: int
    to: str
    subject: str
    at: datetime | None
    text: str

    @property
    def links(self) -> list[str]:
        return list(dict.fromkeys(_LINK.findall(self.text)))


def _folder() -> Path:
    return Path(settings.CHAPEK_MAIL_DIR)


def read_file(name: str) -> list[Mail]:
    """The mails of one file of Django's file-based backend."""
    with (_folder() / name).open("rb") as file:
        raw = file.read(LONGEST_BYTES)
    mails = []
    for part, block in enumerate(_SEPARATOR.split(raw)):
        if not block.strip():
            continue
        message = email.message_from_bytes(block, policy=email.policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - the default policy makes these
        body = message.get_body(preferencelist=("plain",))
        written_at = getattr(message["date"], "datetime", None)
        mails.append(
            Mail(
                name=name,
                part=part,
                to=str(message["to"] or ""),
                subject=str(message["subject"] or ""),
                at=written_at.astimezone(UTC) if written_at else None,
                text=str(body.get_content()) if body is not None else "",
            )
        )
    return mails


def all_mails() -> list[Mail]:
    """The newest first, a hundred at most."""
    folder = _folder()
    names = sorted((path.name for path in folder.glob("*.log") if NAME.match(path.name)), reverse=True)
    found: list[Mail] = []
    for name in names[:MOST_SHOWN]:
        found.extend(reversed(read_file(name)))
    return found[:MOST_SHOWN]


def _from_this_machine(request: HttpRequest) -> bool:
    """Mails hold links that log people in: they are for whoever sits at this machine alone."""
    try:
        return ip_address(str(request.META.get("REMOTE_ADDR", ""))).is_loopback
    except ValueError:
        return False


class LocalMail(View):
    """Only where mails go to a folder of this machine, which is a demonstration and nobody's real mailbox."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        kept_here = settings.CHAPEK_EMBEDDED and settings.EMAIL_BACKEND.endswith("filebased.EmailBackend")
        if not kept_here or not _from_this_machine(request):
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, name: str = "", part: int = 0) -> HttpResponse:
        if not name:
            return render(request, "portal/mail.html", {"mails": all_mails()})
        if not NAME.match(name) or not (_folder() / name).is_file():
            raise Http404
        for mail in read_file(name):
            if mail.part == part:
                return render(request, "portal/letter.html", {"mail": mail})
        raise Http404
