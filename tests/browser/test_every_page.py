"""Every page there is, with something on it: accessible, within the policy, on a phone, and without JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.authz.routes import routes
from tests.authz.test_table import expectations
from tests.browser.conftest import PASSWORD, Site, answers
from tests.flows.patience import eventually
from tests.flows.processes import TOP, Process, environment
from tests.ports import free_ports

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
]

NO_PAGES = {
    "healthz", "readyz", "metrics",  # for machines
    "now_live", "incident_live", "run_live",  # streams of events
    "postmortem_markdown", "api_schema", "api_schema_runbook", "run_file", "run_step_value",  # files
}  # fmt: skip
RULES = {"api_docs": {"nested-interactive": {"enabled": False}}}
"""Rules of axe that a page is spared: Swagger draws each address as a link, which can be sent, inside of a button."""
PARTS = {"api_docs": {"exclude": [["#operations section > div > span:nth-child(n+5)"], [".models"]]}}
"""Parts of a page that axe is spared: Swagger draws all sections alike, and the first four stand for them."""
SIDEWAYS = """() => {
  for (const time of document.querySelectorAll("time:is([data-when=since], [data-when=ago])")) {
    time.textContent = time.dataset.when === "ago" ? "23 h 59 min ago" : "23 h 59 min";
  }
  return document.documentElement.scrollWidth > document.documentElement.clientWidth;
}"""
"""Whether something sticks out, now or when the durations that count have become as long as they get."""

ANONYMOUS = {"sign_in"}
"""Pages that whoever is signed in is sent away from."""


def page_names() -> set[str]:
    """The routes, but for the API's own, that answer a GET of an admin or of nobody with 200: pages, unless listed."""
    table = expectations()
    return {
        route.name
        for route in routes()
        if not route.path.startswith(("/api/v1/", "/hooks/"))
        and (row := table.get((route.name, "GET"))) is not None
        and "200" in (row["admin"].split("/")[0], row["anonymous"])
    } - NO_PAGES


@dataclass
class Visitor:
    """Opens pages in every look; ``complaints`` are what the browser said, the policy's reports among them."""

    browser: Browser
    site: Site
    session: StorageState
    complaints: list[str] = field(default_factory=list)

    def open(self, name: str, *, dark: bool = False, width: int = 1280, scripts: bool = True) -> Page:
        context = self.browser.new_context(
            storage_state=None if name in ANONYMOUS else self.session,
            base_url=self.site.address,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 844},
            java_script_enabled=scripts,
        )
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"{name}: {error}"))
        page.on("console", lambda line: self._heard(name, line.type, line.text))
        page.on("requestfailed", lambda request: self._failed(name, request.url, request.failure))
        answer = page.goto(self.site.pages[name])
        assert answer is not None
        assert answer.status == 200, name
        return page

    def _heard(self, name: str, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{name}: {text}")

    def _failed(self, name: str, url: str, why: str | None) -> None:
        # A stream is cut off when its page is closed.
        if "ERR_ABORTED" not in (why or ""):
            self.complaints.append(f"{name}: {url} {why}")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web process on a database with something on every page."""
    home = tmp_path_factory.mktemp("everything")
    port = free_ports(1)[0]
    address = f"http://127.0.0.1:{port}"
    env = environment(HANDRAIL_HOME=str(home), HANDRAIL_BIND=f"127.0.0.1:{port}", HANDRAIL_BASE_URL=address)
    seeded = subprocess.run(
        [sys.executable, "-m", "tests.browser.seed_everything"],
        cwd=TOP,
        env={**env, "DJANGO_SETTINGS_MODULE": "handrail.config.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert seeded.returncode == 0, seeded.stderr
    web = Process("web", ("web",), env, home / "web.log").start()
    try:
        eventually("the web answers", lambda: answers(f"{address}/healthz"))
        yield Site(address, json.loads(seeded.stdout))
    finally:
        web.stop()


@pytest.fixture(scope="module")
def visitor(everything: Site, chromium: Browser) -> Visitor:
    context = chromium.new_context(base_url=everything.address)
    page = context.new_page()
    page.goto("/sign-in/?next=/runbooks/")
    page.fill("input[name=username]", "ada")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/runbooks/")
    session = context.storage_state()
    context.close()
    return Visitor(chromium, everything, session)


def test_no_page_is_forgotten(everything: Site) -> None:
    assert page_names() == set(everything.pages)


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)], ids=str)
def test_axe_finds_nothing_nothing_sticks_out_and_the_browser_does_not_complain(
    visitor: Visitor, dark: bool, width: int
) -> None:
    found: dict[str, object] = {}
    visitor.complaints.clear()
    for name in visitor.site.pages:
        page = visitor.open(name, dark=dark, width=width)
        if page.locator("[data-graph]").count():
            expect(page.locator(".graph-svg").first).to_be_visible()
        if page.locator("#swagger-ui").count():
            expect(page.get_by_text("/api/v1/incidents/{incident_id}/timeline/")).to_be_visible()
        axe = Axe().run(page, context=PARTS.get(name), options={"rules": RULES.get(name, {})})
        violations = axe.response["violations"]
        if violations:
            found[name] = [(each["id"], each["nodes"][0]["html"]) for each in violations]
        if page.evaluate(SIDEWAYS):
            found[f"{name}, sideways"] = width
        page.context.close()
    assert (found, visitor.complaints) == ({}, [])


def test_without_javascript_every_page_says_what_it_is(visitor: Visitor) -> None:
    missing = []
    for name in visitor.site.pages:
        page = visitor.open(name, scripts=False)
        if page.locator("h1:visible").count() != 1:
            missing.append(name)
        page.context.close()
    assert missing == []
