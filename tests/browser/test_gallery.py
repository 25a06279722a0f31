"""The components in a real browser: accessible, under the real policy, by keyboard, without JavaScript."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import override_settings
from django.urls import path
from playwright.sync_api import Browser, Page, expect, sync_playwright

from handrail.accounts.models import User
from handrail.web import gallery

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]


def _gallery(request: HttpRequest) -> HttpResponse:
    request.user = User(username="ada")
    return gallery.gallery(request)


def _jump(request: HttpRequest) -> HttpResponse:
    found = [{"url": "/gallery/?found", "title": "INC-42", "kind": "incident", "icon": "siren"}]
    return render(request, "web/components/jump_results.html", {"results": found, "words": ""})


urlpatterns = [
    path("gallery/", _gallery),
    path("gallery/validate", gallery.validate),
    path("jump", _jump),
    path("sign-in/", lambda request: render(request, "web/sign_in.html", {"next": "/"})),
]


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


# Static files come from the apps' folders here; there is no collected folder for whitenoise to warn about.
MIDDLEWARE = [each for each in settings.MIDDLEWARE if "whitenoise" not in each]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        server = make_server("127.0.0.1", 0, StaticFilesHandler(WSGIHandler()), handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(f"{address}/gallery/")
    yield page
    context.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("where", ["/gallery/", "/sign-in/"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, address: str, scheme: str, width: int, where: str
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(address + where)
    if where == "/gallery/":
        expect(page.locator(".cm-editor")).to_be_visible()
        expect(page.locator(".graph-svg")).to_have_count(2)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()


def test_ctrl_k_searches_and_enter_goes_there(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_role("option", name="INC-42")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url("**/gallery/?found")


def test_a_question_mark_lists_the_keys_and_a_page_s_own(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Acknowledge")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_dangerous_form_asks_first_and_says_what_will_happen(page: Page) -> None:
    page.get_by_role("button", name="Deny, with a question").click()
    dialog = page.get_by_role("dialog", name="Deny the failover?")
    expect(dialog).to_contain_text("Traffic stays shifted")
    dialog.get_by_role("button", name="Go back").click()
    expect(dialog).to_have_count(0)


def test_the_editor_shows_what_the_server_found_and_goes_there(page: Page) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("later: ???")
    problem = page.get_by_role("button", name="Not decided yet.")
    problem.click()
    expect(page.locator(".cm-lintRange-warning")).to_have_text("???")
    expect(page.locator(".cm-content")).to_be_focused()
    assert "later: ???" in page.locator("textarea[data-editor]").input_value()
    page.evaluate("document.querySelector('textarea[data-editor]').form.dispatchEvent(new Event('submit'))")


def test_a_chosen_theme_is_kept(page: Page) -> None:
    page.locator(".header summary").click()
    page.get_by_role("button", name="Dark").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_without_javascript_a_dialog_opens_by_its_address_and_the_graph_is_a_list(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/gallery/")
    expect(page.locator(".graph-list").first).to_be_visible()
    page.get_by_role("link", name="Stop...").first.click()
    expect(page.get_by_role("heading", name="Stop run 7f3a?")).to_be_visible()
    context.close()


def test_a_frame_that_begins_left_of_what_is_shown_keeps_its_title_in_view(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{address}/gallery/")
    view = page.locator("[data-graph-view]").filter(has=page.locator(".graph-frame")).first
    title = view.locator(".graph-frame-title").first
    starts = title.evaluate("node => Number(node.getAttribute('x'))")
    view.evaluate("node => { node.firstElementChild.style.marginRight = '400px'; node.scrollLeft = 60; }")
    expect(title).not_to_have_attribute("x", str(starts))
    left = title.evaluate(
        "node => node.getBoundingClientRect().left - node.closest('[data-graph-view]').getBoundingClientRect().left"
    )
    assert left >= 0
    context.close()
