"""A running installation with its worker, and Debian's chromium in front of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState, sync_playwright

from tests.flows.patience import eventually
from tests.flows.processes import TOP, Process, environment
from tests.ports import free_ports

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Site:
    """``address`` without a slash at its end; ``pages`` are paths by name, from ``seed.py``."""

    address: str
    pages: dict[str, str]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Web, worker and sweeper on a database of their own."""
    home = tmp_path_factory.mktemp("site")
    port = free_ports(1)[0]
    address = f"http://127.0.0.1:{port}"
    env = environment(HANDRAIL_HOME=str(home), HANDRAIL_BIND=f"127.0.0.1:{port}", HANDRAIL_BASE_URL=address)
    seeded = subprocess.run(
        [sys.executable, "-m", "tests.browser.seed"],
        cwd=TOP,
        env={**env, "DJANGO_SETTINGS_MODULE": "handrail.config.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert seeded.returncode == 0, seeded.stderr
    with ExitStack() as running:
        for name in ("web", "worker", "sweeper"):
            process = Process(name, (name,), env, home / f"{name}.log").start()
            running.callback(process.stop)
        eventually("the web answers", lambda: answers(f"{address}/healthz"))
        yield Site(address, json.loads(seeded.stdout))


def answers(address: str) -> bool:
    """Whether the address answers 200 now."""
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module's tests; each has contexts of its own.

    Not one for the session: Playwright keeps an event loop in this thread, in which neither another Playwright
    nor Django's database works, and other modules need both.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def _complains(line: ConsoleMessage) -> bool:
    """A form that is refused answers 4xx: chromium's note of it is no fault of the page."""
    return line.type == "error" and "status of 4" not in line.text


SignIn = Callable[..., Page]
"""``sign_in("ada", dark=True)``: a page of a person who is signed in. See :func:`sign_in` for the options."""


@pytest.fixture(scope="session")
def sessions() -> dict[str, StorageState]:
    """Who has signed in already: once a person is enough for all tests."""
    return {}


@pytest.fixture
def sign_in(site: Site, chromium: Browser, sessions: dict[str, StorageState]) -> Iterator[SignIn]:
    """Pages of people. Whatever the browser complains about fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def signed_in(username: str, *, dark: bool = False, width: int = 1280, scripts: bool = True) -> Page:
        context = chromium.new_context(
            storage_state=sessions.get(username),
            base_url=site.address,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 860},
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if _complains(line) else None)
        if username not in sessions:
            page.goto("/sign-in/?next=/runbooks/")
            page.fill("input[name=username]", username)
            page.fill("input[name=password]", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_url("**/runbooks/")
            sessions[username] = context.storage_state()
        return page

    yield signed_in
    for context in contexts:
        context.close()
    assert complaints == []
