"""Everything works without scripts, the colours can be switched, and a keyboard alone gets one to the content."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from embedded.stack import Stack
from tests.e2e.conftest import Witness
from tests.e2e.hands import log_in

pytestmark = pytest.mark.e2e


@pytest.fixture
def plain_page(browser: Browser, stack: Stack, witness: Witness) -> Iterator[Page]:
    context = browser.new_context(
        base_url=stack.url, viewport={"width": 1280, "height": 900}, java_script_enabled=False
    )
    context.set_default_timeout(30_000)
    witness.watch(context)
    yield context.new_page()
    context.close()


@pytest.mark.usefixtures("clean_nodes")
def test_reserving_and_cancelling_need_no_scripts(plain_page: Page, stack: Stack) -> None:
    page = plain_page
    login = stack.logins["tenant"]
    log_in(page, email=login.email, password=login.password)
    page.goto("/reserve/")
    page.locator("[name=node_type]").first.check()
    page.locator("[name=start][value=later]").check()
    page.locator("[name=starts_at]").fill("2027-06-01T08:00")
    page.locator("[name=end][value=fixed]").check()
    page.locator("[name=ends_at]").fill("2027-06-02T08:00")
    if page.locator("[name=ssh_keys]").count() == 0:
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Ue7ipS4lVv8o1LPkGXUWQ0hTRt2ZTyHEFu0N3b1Ru plain"
        page.locator("[name=new-public_key]").fill(key)
        page.get_by_role("button", name="Add this key").click()
        expect(page.locator("[name=ssh_keys]")).to_be_checked()
    page.get_by_role("button", name="Get a quote").click()
    expect(page.locator("#quote")).to_contain_text("Total with tax")
    page.get_by_role("button", name="Confirm and reserve").click()
    expect(page.locator("#detail .state").first).to_have_text("Scheduled")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the reservation").click()
    expect(page.locator("#detail .state").first).to_have_text("Cancelled")


def test_the_colour_switch_needs_no_scripts_and_is_remembered(plain_page: Page) -> None:
    page = plain_page
    page.goto("/")
    root = page.locator("html")
    expect(root).not_to_have_attribute("data-theme", re.compile("."))
    for wanted in ("light", "dark"):
        page.get_by_role("button", name=re.compile("colours; press to switch")).click()
        expect(root).to_have_attribute("data-theme", wanted)
    page.goto("/accounts/login/")
    expect(root).to_have_attribute("data-theme", "dark")


def test_the_first_key_press_leads_to_the_content(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
