"""A real browser on the real processes. Each page is looked at in three widths, light and dark, and judged by axe."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from embedded.stack import Stack

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "e2e"
WIDTHS = {390: 844, 1280: 900, 1920: 1080}
SCHEMES = ("light", "dark")
# Between and beyond: only whether everything has room.
OTHER_WIDTHS = {700: 1000, 820: 1180, 1024: 768, 3840: 2160}
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Everything of WCAG 2.2 A and AA that a program can judge, and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What stands out of the page or out of its panel, cut off or not.
OVERFLOWING = """() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`page ${root.scrollWidth} > ${root.clientWidth}`);
  for (const box of document.querySelectorAll(".panel, .stats > div, .card, .notice")) {
    const edge = box.getBoundingClientRect().right + 1;
    for (const part of box.querySelectorAll("td, th, dd, dt, time, button, a, input, select, textarea, pre, .state")) {
      const rect = part.getBoundingClientRect();
      if (rect.width && rect.right > edge && !part.closest(".visually-hidden, .scroll")) {
        found.push(`${part.tagName} "${part.textContent.trim().slice(0, 40)}" ${Math.round(rect.right - edge)}px`);
      }
    }
  }
  return found;
}"""


@dataclass
class Witness:
    """Collects what must not happen, and makes the pictures."""

    host: str
    complaints: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    axe: Axe = field(default_factory=Axe)
    number: int = 0

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"script error: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser repeats a refusal (4xx) that a test provokes on purpose; _response judges those by address.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(
                f"console {message.type} on {message.page.url if message.page else '?'}: {message.text}"
            )

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and parts.netloc != self.host:
            self.complaints.append(f"request to another host: {request.url}")

    def _response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and f"{response.status} {path}" not in self.expected:
            self.complaints.append(f"{response.status} {response.request.method} {path}")

    def expect(self, status: int, path: str) -> None:
        """This answer is provoked on purpose."""
        self.expected.add(f"{status} {path}")

    def inspect(self, page: Page, name: str, *, quick: bool = False) -> None:
        """Pictures in all widths and both schemes, and axe on each; ``quick`` for a page that will not wait."""
        self.number += 1
        kept = page.viewport_size
        for scheme in SCHEMES[:1] if quick else SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in (1280,) if quick else WIDTHS:
                page.set_viewport_size({"width": width, "height": WIDTHS[width]})
                picture = f"{self.number:02}-{name}-{width}-{scheme}.png"
                page.screenshot(path=ARTEFACTS / picture, full_page=True)
                self.complaints += [f"{picture}: overflows: {text}" for text in page.evaluate(OVERFLOWING)]
                found = self.axe.run(page, options={"runOnly": {"type": "tag", "values": RULES}})
                for violation in found.response["violations"]:
                    places = [node["html"][:120] for node in violation["nodes"]][:3]
                    self.complaints.append(f"{picture}: axe {violation['id']}: {violation['help']}: {places}")
        for width, height in () if quick else OTHER_WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            self.complaints += [f"{name} at {width}: overflows: {text}" for text in page.evaluate(OVERFLOWING)]
        if kept is not None:
            page.set_viewport_size(kept)
        page.emulate_media(color_scheme="light")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; Playwright's own is never downloaded."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.fail("no Chromium on the path: apt-get install chromium")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture
def witness(stack: Stack) -> Iterator[Witness]:
    """Judges at the end of the test: no complaint may be left."""
    seen = Witness(host=urlsplit(stack.url).netloc)
    yield seen
    assert not seen.complaints, "\n".join(seen.complaints)


@pytest.fixture
def page(browser: Browser, stack: Stack, witness: Witness) -> Iterator[Page]:
    context = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(30_000)
    witness.watch(context)
    yield context.new_page()
    context.close()
