"""A tenant's hands without a browser: fills the portal's forms, makes an API key, calls the REST API.

Used by journey tests and benchmarks, so that both do what people do and nothing behind the product's back.
"""

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import urljoin

import requests

TIMEOUT_S = 30
_Answer = TypeVar("_Answer")


ORGANISATION = {
    "legal_name": "Analytical Engines s.r.o.",
    "address_line": "Technická 2",
    "postal_code": "166 27",
    "city": "Praha",
    "country": "CZ",
    "vat_id": "",
}


class ClientError(Exception):
    """The product answered something else than was expected; says what."""


class _Forms(HTMLParser):
    """Every form of a page with the values a browser would send, and the page's text."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.text: list[str] = []
        self._form: dict[str, Any] | None = None
        self._select: str | None = None
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = {
                "action": values.get("action", ""),
                "method": values.get("method", "get").lower(),
                "fields": {},
                "names": set(),
            }
            self.forms.append(self._form)
        if self._form is None:
            return
        name = values.get("name", "")
        if tag == "input" and name:
            self._form["names"].add(name)
            kind = values.get("type", "text")
            if kind in {"checkbox", "radio"} and "checked" not in values:
                return
            if kind not in {"submit", "button", "file", "image"}:
                self._form["fields"].setdefault(name, values.get("value", "on" if kind == "checkbox" else ""))
        elif tag == "button" and name:
            self._form["names"].add(name)
        elif tag == "select":
            self._select = name
            self._form["names"].add(name)
        elif tag == "option" and self._select and ("selected" in values or self._select not in self._form["fields"]):
            self._form["fields"][self._select] = values.get("value", "")
        elif tag == "textarea" and name:
            self._form["names"].add(name)
            self._form["fields"][name] = ""
            self._area = name

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._area:
            self._form["fields"][self._area] += data
        self.text.append(data)


class Client:
    """One person with a cookie jar, or a program with an API key."""

    def __init__(self, *, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.api_key = ""

    def page(self, path: str) -> str:
        """The page's HTML. Raises ClientError when it is no 200."""
        answer = self.session.get(urljoin(self.url, path), timeout=TIMEOUT_S)
        if answer.status_code != 200:
            raise ClientError(f"GET {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.text

    def submit(self, path: str, /, **fields: Any) -> requests.Response:
        """Open ``path``, fill the form that has these fields, send it, follow where it leads."""
        page = self.session.get(urljoin(self.url, path), timeout=TIMEOUT_S)
        parser = _Forms()
        parser.feed(page.text)
        for form in parser.forms:
            if set(fields) <= form["names"] and form["method"] == "post":
                return self.session.post(
                    urljoin(page.url, form["action"] or page.url),
                    data={**form["fields"], **fields},
                    headers={"Referer": page.url},
                    timeout=TIMEOUT_S,
                )
        names = [sorted(form["names"]) for form in parser.forms]
        raise ClientError(f"{path} ({page.status_code}) has no form with {sorted(fields)}; its forms: {names}")

    def log_in(self, *, email: str, password: str) -> None:
        answer = self.submit("/accounts/login/", login=email, password=password)
        if "/accounts/login" in answer.url:
            raise ClientError(f"the log-in was refused: {answer.url}")

    def mail_link(self, *, to: str, containing: str, timeout_s: float = 15) -> str:
        """The newest link with these words in a mail to ``to``, read on the local mail page."""

        def look() -> str | None:
            listing = self.page("/mail/")
            for href in re.findall(r'href="(/mail/[^"]+)"', listing):
                text = html.unescape(self.page(html.unescape(href)))
                if to in text:
                    links = re.findall(rf"https?://[^\s\"<>]*{containing}[^\s\"<>]*", text)
                    if links:
                        return str(links[0])
            return None

        return wait_for(look, timeout_s=timeout_s, what=f"a mail to {to}")

    def call(self, method: str, path: str, *, expect: int | tuple[int, ...] = (), **options: Any) -> Any:
        """A REST call with the API key; JSON in, JSON out. Raises ClientError unless the status is as expected."""
        answer = self.raw(method, path, **options)
        wanted = (expect,) if isinstance(expect, int) else expect
        if (wanted and answer.status_code not in wanted) or (not wanted and not answer.ok):
            raise ClientError(f"{method} {path} answered {answer.status_code}: {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def raw(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        headers = options.pop("headers", {})
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if key is not None:
            headers["Idempotency-Key"] = key
        return requests.request(
            method, urljoin(self.url, f"/api/v1{path}"), headers=headers, timeout=TIMEOUT_S, **options
        )

    def make_api_key(self, *, name: str, scopes: list[str]) -> None:
        """Make a key on the portal's page and use it from now on; the secret is shown there once."""
        answer = self.submit("/keys/", **{"api-name": name, "api-scopes": scopes})
        found = re.search(r"ck_[a-z0-9]+_[A-Za-z0-9_-]{16,}", html.unescape(answer.text))
        if found is None:
            raise ClientError(f"no API key was shown: {answer.status_code} {answer.url}")
        self.api_key = found.group()

    def accept_and_register(self, **facts: str) -> None:
        """Fill the organisation's form and tick every legal text on it."""
        page = self.page("/organisation/")
        parser = _Forms()
        parser.feed(page)
        ticks = {name: "on" for form in parser.forms for name in form["names"] if name.startswith("accept")}
        answer = self.submit("/organisation/", **facts, **ticks)
        if answer.url.endswith("/organisation/"):
            raise ClientError(f"the organisation was refused: {_text(answer.text)[:2000]}")

    def sign_up(self, *, email: str, password: str, **facts: str) -> None:
        """From a stranger to a member of an organisation of its own: confirm the address, enter the facts, accept."""
        self.submit("/accounts/signup/", email=email, password1=password, password2=password)
        self.submit(self.mail_link(to=email, containing="confirm-email"))
        self.log_in(email=email, password=password)
        self.accept_and_register(**{**ORGANISATION, "billing_email": email, **facts})

    def stream(self, path: str, *, timeout_s: float) -> Iterator[dict[str, Any]]:
        """The messages of an event stream, as JSON, until it ends or the time is over."""
        deadline_s = time.monotonic() + timeout_s
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "text/event-stream"}
        url = urljoin(self.url, f"/api/v1{path}")
        with requests.get(url, headers=headers, stream=True, timeout=(TIMEOUT_S, TIMEOUT_S)) as answer:
            if not answer.ok:
                raise ClientError(f"GET {path} answered {answer.status_code}")
            for line in answer.iter_lines():
                if time.monotonic() > deadline_s:
                    raise ClientError(f"the stream of {path} did not come to its point in {timeout_s:g} s")
                if line.startswith(b"data:"):
                    yield json.loads(line.removeprefix(b"data:"))

    def admin_action(self, app: str, model: str, *, search: str, action: str, reason: str) -> None:
        """Run an action that asks for a reason on the one row of the admin's list that ``search`` finds.

        Whether it was refused shows in what it should have changed.
        """
        listing = self.page(f"/admin/{app}/{model}/?q={search}")
        found = re.search(rf"/admin/{app}/{model}/(\d+)/change/", listing)
        if found is None:
            raise ClientError(f"the admin finds no {model} for {search}")
        row = found.group(1)
        answer = self.submit(f"/admin/{app}/{model}/{row}/{action}/", reason=reason)
        if not answer.ok:
            raise ClientError(f"{action} answered {answer.status_code}")


def _text(page: str) -> str:
    parser = _Forms()
    parser.feed(page)
    return " ".join("".join(parser.text).split())


def wait_for(look: Callable[[], _Answer | None], *, timeout_s: float, what: str, every_s: float = 0.25) -> _Answer:
    """Ask until there is an answer. Raises ClientError with ``what`` was waited for when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while (answer := look()) is None:
        if time.monotonic() > deadline_s:
            raise ClientError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(every_s)
    return answer
