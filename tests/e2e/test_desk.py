"""The operator's desk in a real browser: dialogs of acts, refusals, the overview, every page without a complaint."""

import re
import uuid
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from embedded.client import Client, wait_for
from embedded.stack import Stack
from tests.conftest import new_public_key
from tests.e2e.conftest import ARTEFACTS, Witness

pytestmark = pytest.mark.e2e
PICTURES = ("light", "dark")


def log_in(page: Page, stack: Stack) -> None:
    """The admin's own address leads to everybody's log-in, and back."""
    operator = stack.logins["operator"]
    page.goto("/admin/")
    expect(page).to_have_url(re.compile("/accounts/login/"))
    page.fill("[name=login]", operator.email)
    page.fill("[name=password]", operator.password)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/")


def a_draft(tenant: Client) -> str:
    """The reservation of a draft invoice: something was reserved, used for seconds and released."""
    key = tenant.call("POST", "/ssh-keys", json={"name": uuid.uuid4().hex[:8], "public_key": new_public_key()})
    offer = next(line for line in tenant.call("GET", "/catalogue")["stock"] if line["free_now"])
    quote = tenant.call(
        "POST", "/quotes", json={"node_type": offer["node_type"], "site": offer["site"], "node_count": 1}
    )
    body = {"quote": quote["id"], "name": "desk", "image": "debian-12", "ssh_keys": [key["id"]]}
    ref = tenant.call("POST", "/reservations", key=uuid.uuid4().hex, json=body)["id"]

    def used() -> bool | None:
        return True if Decimal(tenant.call("GET", f"/reservations/{ref}")["cost"]["net"]) > 0 else None

    wait_for(used, timeout_s=90, what="the first cent")
    tenant.call("POST", f"/reservations/{ref}/actions", key=uuid.uuid4().hex, json={"action": "release"})

    def over() -> bool | None:
        return True if tenant.call("GET", f"/reservations/{ref}")["state"] == "ended" else None

    wait_for(over, timeout_s=90, what="the end")
    return str(ref)


def button(page: Page, name: str) -> Any:
    """An act's button; its icon is a word to a browser."""
    return page.locator("a:visible").filter(has_text=re.compile(rf"(^|\s){name}\s*$"))


def act(page: Page, name: str, **fields: str) -> None:
    """Open the act's dialog, fill it, send it, and come back to the row."""
    button(page, name).click()
    dialog = page.locator("#modal-content")
    expect(dialog.locator("textarea[name=reason]")).to_be_visible()
    for field, value in {"reason": "checked in a browser", **fields}.items():
        dialog.locator(f"[name={field}]").fill(value)
    with page.expect_navigation():
        dialog.locator("button[type=submit]").click()


@pytest.mark.usefixtures("clean_nodes")
def test_the_operator_issues_an_invoice_from_the_overview(stack: Stack, tenant: Client, page: Page) -> None:
    a_draft(tenant)
    log_in(page, stack)
    page.get_by_role("link", name=re.compile("Drafts to issue")).click()
    expect(page).to_have_url(re.compile(r"state__exact=draft"))
    page.locator("#result_list tbody tr a").first.click()
    button(page, "Issue").click()
    dialog = page.locator("#modal-content")
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_text("This field is required.")).to_be_visible()
    dialog.locator("textarea[name=reason]").fill("usage checked")
    with page.expect_navigation():
        dialog.locator("button[type=submit]").click()
    expect(page.get_by_text("Done: Issue")).to_be_visible()
    expect(page.locator("body")).to_contain_text("INV-")
    expect(button(page, "Issue")).to_have_count(0)


@pytest.mark.usefixtures("clean_nodes")
def test_a_refusal_is_told_and_a_node_is_cordoned_and_opened_again(stack: Stack, page: Page) -> None:
    log_in(page, stack)
    page.goto("/admin/accounts/tenant/")
    page.locator("#result_list tbody tr a").first.click()
    page.get_by_text("Decide").click()
    act(page, "Grant credit", amount="0")
    expect(page.get_by_text("Credit is a positive amount of whole cents.")).to_be_visible()

    page.goto("/admin/inventory/node/?state__exact=available")
    page.locator("#result_list tbody tr a").first.click()
    act(page, "Cordon")
    expect(page.get_by_text("Done: Cordon")).to_be_visible()
    act(page, "Uncordon")
    expect(page.get_by_text("Done: Uncordon")).to_be_visible()


@pytest.mark.parametrize("scheme", PICTURES)
def test_every_page_of_the_desk_loads_without_a_complaint(
    stack: Stack, page: Page, witness: Witness, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    log_in(page, stack)
    lists = page.locator("#nav-sidebar a[href^='/admin/'], aside a[href^='/admin/'], nav a[href^='/admin/']")
    targets = sorted({str(link.get_attribute("href")) for link in lists.all()})
    assert len(targets) > 25
    for target in targets:
        page.goto(target)
        page.screenshot(path=ARTEFACTS / f"desk{target.replace('/', '-')}{scheme}.png")
        row = page.locator("#result_list tbody tr a").first
        if target != "/admin/" and row.count():
            row.click()
            page.screenshot(path=ARTEFACTS / f"desk{target.replace('/', '-')}detail-{scheme}.png")
    page.goto("/admin/")
    found = witness.axe.run(page, context=".desk")
    assert found.response["violations"] == []
