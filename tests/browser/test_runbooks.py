"""What people do with runbooks, runs and approvals, in a real browser against real processes."""

from __future__ import annotations

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn, Site
from tests.browser.seed import WALK

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
]
SOON = 30_000
"""Milliseconds; a busy machine is slow."""


@pytest.mark.parametrize(("dark", "width"), [(False, 390), (True, 1280)])
def test_axe_finds_nothing_on_any_page_and_nothing_sticks_out(
    sign_in: SignIn, site: Site, dark: bool, width: int
) -> None:
    sign_in("ada")
    page = sign_in("ada", dark=dark, width=width)
    found = {}
    for name, path in site.pages.items():
        page.goto(path)
        if page.locator("[data-graph]").count():
            expect(page.locator(".graph-svg").first).to_be_visible()
        violations = Axe().run(page).response["violations"]
        if violations:
            found[name] = [(each["id"], each["nodes"][0]["html"]) for each in violations]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found[name] = [("overflow", "")]
    assert found == {}


def write(page: Page, text: str) -> None:
    """Replace all that the editor holds."""
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    # Typed over, chromium would dress the new text in the old one's style, which the policy blocks and tells.
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


def test_an_author_is_told_of_a_mistake_in_place_mends_it_and_publishes(sign_in: SignIn) -> None:
    page = sign_in("ada")
    page.goto("/runbooks/shop/walk/")
    page.get_by_role("link", name="Edit").click()
    expect(page.locator(".cm-editor")).to_be_visible()
    write(page, WALK.replace("uses: noop}", "uses: nop}", 1))
    expect(page.locator("#problems")).to_contain_text("There is no action 'nop'", timeout=SOON)
    expect(page.locator("#problems")).to_contain_text("noop")
    expect(page.locator(".cm-lintRange-error")).not_to_have_count(0)
    write(page, WALK.replace("Cross the road", "Cross the street"))
    expect(page.locator("#problems")).to_contain_text("No problems", timeout=SOON)
    expect(page.locator("#live-graph")).to_contain_text("Cross the street")
    page.get_by_role("button", name="Save and publish...").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Publish version 2?")
    expect(page.get_by_text("step `last`")).to_be_visible()
    page.get_by_label("What changed, and why").fill("It is a street")
    page.get_by_role("button", name="Publish v2").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("v2 is live")
    expect(page.get_by_role("row", name="v2 live")).to_contain_text("It is a street")


def test_a_run_is_watched_live_while_somebody_else_approves_it(sign_in: SignIn) -> None:
    page = sign_in("ada")
    page.goto("/runbooks/shop/walk/")
    page.get_by_label("pace").select_option("slow")
    page.get_by_role("button", name="Start v").click()
    heading = page.get_by_role("heading", level=1)
    expect(page.locator("[data-live-status]")).to_have_text("Live", timeout=SOON)
    # From here on, this page is not touched: what it says came by itself.
    expect(heading).to_have_text("Waiting for 1 approval", timeout=SOON)
    expect(page.locator("#needs")).to_contain_text("You started this run")
    approver = sign_in("lin")
    approver.goto("/approvals/")
    approver.get_by_role("link", name="May it cross the road?").first.click()
    expect(approver.get_by_text("1 of 1 approval", exact=True)).to_have_count(0)
    approver.get_by_role("button", name="Approve").click()
    expect(approver.get_by_role("main").get_by_role("status")).to_contain_text("Approved. It runs now.")
    expect(heading).to_contain_text("Succeeded", timeout=SOON)
    expect(page.locator("#steps-card .step-word").last).to_have_text("succeeded")
    expect(page.locator("#graph-card")).to_contain_text("succeeded")
    expect(page.get_by_role("link", name="Stop...")).to_have_count(0)


def test_a_run_is_stopped_after_reading_what_that_means(sign_in: SignIn) -> None:
    page = sign_in("ada")
    page.goto("/runbooks/shop/walk/?input.pace=quick#start")
    page.get_by_role("button", name="Start v").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Waiting for 1 approval", timeout=SOON)
    page.get_by_role("link", name="Stop...").click()
    dialog = page.get_by_role("dialog", name="Stop this run?")
    expect(dialog).to_contain_text("Take the first step")
    dialog.get_by_label("Why").fill("It rains")
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(heading).to_have_text("Stopped: It rains", timeout=SOON)


def test_without_javascript_one_reads_validates_and_decides(sign_in: SignIn, site: Site) -> None:
    sign_in("ada")
    author = sign_in("ada", scripts=False)
    author.goto(site.pages["new"])
    author.locator("textarea[name=source]").fill(WALK.replace("uses: noop", "uses: nop"))
    author.get_by_role("button", name="Validate").click()
    expect(author.locator("#problems")).to_contain_text("There is no action 'nop'")
    sign_in("lin")
    approver = sign_in("lin", scripts=False, width=390)
    approver.goto(site.pages["approval"])
    expect(approver.get_by_role("heading", level=1)).to_contain_text("Fail over the checkout database")
    expect(approver.locator("main")).to_contain_text("POST https://db-admin.internal/failover")
    approver.get_by_role("button", name="Deny").click()
    expect(approver.get_by_role("alert")).to_contain_text("Say why you deny it")
    approver.goto(site.pages["asking"])
    expect(approver.locator(".graph-list").first).to_contain_text("Fail the database over")


def test_the_keys_of_the_page_do_what_they_say(sign_in: SignIn, site: Site) -> None:
    page = sign_in("ada")
    page.goto(site.pages["runbook"])
    page.keyboard.press("e")
    page.wait_for_url("**/edit/")
