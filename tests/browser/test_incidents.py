"""Incidents and postmortems in a real browser: buttons, dialogs, editing in place, accessibility."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import Client, override_settings
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from handrail.accounts.models import User
from handrail.incidents import actions, postmortems
from handrail.incidents.models import PostmortemSection
from tests import factories
from tests.web import evening as evenings
from tests.web.evening import Evening

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium"),
    pytest.mark.django_db(transaction=True),
]
MIDDLEWARE = [each for each in settings.MIDDLEWARE if "whitenoise" not in each]
Open = Callable[..., Page]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = False
    block_on_close = True

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Let go of the thread's database connection with the request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            connections.close_all()


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def address(transactional_db: None) -> Iterator[str]:
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        server = make_server(
            "127.0.0.1", 0, StaticFilesHandler(WSGIHandler()), server_class=Server, handler_class=Quiet
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, in which nothing of Django's waits.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def night(transactional_db: None) -> Evening:
    return evenings.evening()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Open]:
    """Open a page as somebody; afterwards no page may have complained."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(user: User, where: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        client = Client()
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + where)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def test_an_incident_is_mitigated_with_a_reason_and_noted_upon(night: Evening, visit: Open) -> None:
    page = visit(night.resi, f"/incidents/{night.incident.pk}/")
    page.get_by_role("link", name="Mitigated...").click()
    dialog = page.get_by_role("dialog", name="Customers are well again?")
    expect(dialog).to_contain_text("stays open until the cause is gone")
    dialog.get_by_label("Why").fill("traffic is back in eu-1")
    dialog.get_by_role("button", name="Mitigated").click()
    expect(page.get_by_text("INC-42 is mitigated.")).to_be_visible()
    expect(page.locator("#timeline")).to_contain_text("traffic is back in eu-1")
    page.get_by_label("Add a note to the timeline").fill("Watching it for an hour")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator("#timeline .event").first).to_contain_text("Watching it for an hour")


def test_command_is_taken_over_only_after_a_question(night: Evening, visit: Open) -> None:
    page = visit(night.resi, f"/incidents/{night.incident.pk}/")
    page.get_by_role("button", name="Take command").click()
    dialog = page.get_by_role("dialog", name="Take command?")
    expect(dialog).to_contain_text("Ada Lovelace commands it now")
    dialog.get_by_role("button", name="Take command").click()
    expect(page.locator("#people")).to_contain_text("Resi Vogt")


def test_an_incident_is_resolved_without_javascript(night: Evening, visit: Open) -> None:
    page = visit(night.resi, f"/incidents/{night.incident.pk}/", java_script_enabled=False)
    page.get_by_role("link", name="Resolve...").click()
    page.locator("#ask-resolve").get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("INC-42 is resolved.")).to_be_visible()


def test_the_postmortem_is_edited_where_it_stands(night: Evening, visit: Open) -> None:
    actor = factories.actor(night.resi)
    actions.resolve(night.incident, actor=actor, reason="it is over")
    postmortems.generate(night.incident, actor)
    page = visit(night.resi, f"/incidents/{night.incident.pk}/postmortem/")
    section = page.locator("#section-summary")
    section.locator("summary").click()
    section.get_by_role("textbox").fill("It was **the** cache.")
    row = PostmortemSection.objects.get(postmortem__incident=night.incident, key="summary")
    postmortems.edit_section(row, "The words of ada.", factories.actor(night.ada), expected_revision=1)
    section.get_by_role("button", name="Save").click()
    expect(page.get_by_text("was changed by Ada Lovelace")).to_be_visible()
    expect(section.get_by_role("textbox")).to_have_value("It was **the** cache.")
    expect(section).to_contain_text("The words of ada.")
    section.get_by_role("button", name="Save").click()
    expect(section.locator("strong")).to_have_text("the")
    expect(section).to_contain_text("edited by Resi Vogt")
    page.locator("#section-timeline .mark").first.click()
    page.wait_for_url(f"**/incidents/{night.incident.pk}/#event-*")


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_and_nothing_sticks_out(
    night: Evening, visit: Open, scheme: str, width: int
) -> None:
    postmortems.generate(night.ended, factories.actor(night.ada))
    page = visit(night.ada, "/", color_scheme=scheme, viewport={"width": width, "height": 844})
    root = page.url.rstrip("/")
    for where in (
        "/",
        "/incidents/?state=all",
        "/incidents/new/",
        f"/incidents/{night.incident.pk}/",
        f"/incidents/{night.ended.pk}/postmortem/",
        f"/incidents/{night.ended.pk}/postmortem/sections/summary/",
        f"/alerts/{night.alert.pk}/",
        "/audit/",
        "/jump?q=inc",
    ):
        page.goto(root + where)
        found = Axe().run(page).response["violations"]
        assert [(where, each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), where
