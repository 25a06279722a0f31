"""Takes the pictures of docs/screenshots/ anew: `make screenshots` drives the demo in a browser and photographs it.

Needs a chromium (Debian's package of that name). Starts its own Handrail on free ports in a temporary folder, and
leaves nothing behind but the pictures.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

FOLDER = Path(__file__).resolve().parent
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery staple"  # of an installation that lives for two minutes
LARGEST_BYTES = 250_000
PATIENCE_SECONDS = 120


class Program:
    """A `handrail` command whose output is read while it runs."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self.text = ""
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "handrail.cli", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, pattern: str) -> str:
        """The first group of the pattern, once the output has it."""
        with self._news:
            self._news.wait_for(
                lambda: re.search(pattern, self.text) or self.process.poll() is not None, PATIENCE_SECONDS
            )
            found = re.search(pattern, self.text)
        if found is None:
            sys.exit(f"{self.process.args} did not say {pattern!r}, but:\n{self.text}")
        return found[1]

    def stop(self) -> None:
        """End it and wait."""
        self.process.terminate()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.text += line
                self._news.notify_all()


@dataclass
class Camera:
    """Photographs pages as one signed-in person."""

    browser: Browser
    address: str
    state: StorageState | None = None

    def open(self, path: str, *, phone: bool = False, dark: bool = False) -> Page:
        """A page in a window of its own; close its context afterwards."""
        context: BrowserContext = self.browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            storage_state=self.state,
            base_url=self.address,
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1_000)
        page = context.new_page()
        page.goto(path)
        return page

    def take(self, name: str, path: str, *, phone: bool = False, dark: bool = False) -> None:
        """Open, photograph, close."""
        page = self.open(path, phone=phone, dark=dark)
        shoot(page, name)
        page.context.close()


def shoot(page: Page, name: str) -> None:
    """Save what the window shows as ``name``.png."""
    page.evaluate("document.fonts.ready")
    live = page.get_by_text("Connecting", exact=True)
    if live.count():
        live.first.wait_for(state="hidden")
    picture = FOLDER / f"{name}.png"
    page.screenshot(path=picture, animations="disabled", caret="hide")
    if picture.stat().st_size > LARGEST_BYTES:
        sys.exit(f"{picture.name} has {picture.stat().st_size} bytes: more than {LARGEST_BYTES}")
    print(f"  {picture.name}")


def main() -> None:
    """The whole story, photographed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no `chromium` on this machine: install it (Debian: apt-get install chromium).")
    with installation() as (environment, up), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        address = up.wait_for(r"Handrail is up: +(\S+)")
        slack = up.wait_for(r"fake Slack's page: +(\S+)")
        camera = Camera(browser, address)
        camera.state = become_owner(camera, up.wait_for(r"Become its owner: +(\S+)"))
        demo = Program("demo", "--wait", environment=environment)
        incident = demo.wait_for(r"(http\S+/incidents/\S+)")
        approval = demo.wait_for(r"(http\S+/approvals/\S+)")
        run = while_waiting(camera, incident, approval)
        approve(camera, slack, run)
        demo.wait_for(r"(http\S+/postmortem/)")
        if demo.process.wait() != 0:
            sys.exit(f"The demo did not go as it should:\n{demo.text}")
        afterwards(camera, incident, run)
        browser.close()


@contextmanager
def installation() -> Iterator[tuple[dict[str, str], Program]]:
    """A fresh Handrail; its environment and its `handrail up`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        web, fakes = free_port(), free_port()
        environment |= {
            "HANDRAIL_HOME": f"{folder}/home",
            "HANDRAIL_BIND": f"127.0.0.1:{web}",
            "HANDRAIL_DEMO_BIND": f"127.0.0.1:{fakes}",
            "PYTHONUNBUFFERED": "1",
        }
        up = Program("up", environment=environment)
        try:
            yield environment, up
        finally:
            up.stop()


def free_port() -> int:
    """A port that nobody uses, nor the one after it."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def become_owner(camera: Camera, link: str) -> StorageState:
    """Redeem the one-time link; the cookies of the owner."""
    page = camera.open(link)
    shoot(page, "welcome")
    page.get_by_label("User name").fill("sam")
    page.get_by_label("Your name").fill("Sam Rivera")
    for field in page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    page.get_by_role("button", name="Set the password and sign in").click()
    page.wait_for_url(f"{camera.address}/")
    state = page.context.storage_state()
    page.context.close()
    return state


def while_waiting(camera: Camera, incident: str, approval: str) -> str:
    """The pages while a person is asked; returns the run's address."""
    camera.take("now", "/")
    camera.take("now-dark", "/", dark=True)
    camera.take("now-phone", "/", phone=True)
    camera.take("incident-during", incident)
    camera.take("approval", approval)
    camera.take("approval-phone", approval, phone=True)
    camera.take("approval-dark", approval, dark=True)
    page = camera.open(approval)
    run = page.locator("a[href*='/runs/']").first.get_attribute("href")
    page.context.close()
    if run is None:
        sys.exit("The approval's page does not lead to its run.")
    run = run.partition("?")[0].partition("#")[0]
    camera.take("run-waiting", run)
    return run


def approve(camera: Camera, slack: str, run: str) -> None:
    """Photograph the card, press its button as lin, watch the run go on."""
    card = camera.open(slack)
    card.get_by_role("navigation", name="Who you are").get_by_role("link", name="Lin Schneider").click()
    shoot(card, "slack-card")
    watching = camera.open(run)
    card.get_by_role("button", name="Approve").first.click()
    done = watching.locator("#steps-card li, #steps-card tr").filter(has_text="Fail the database over")
    done.filter(has_text="succeeded").first.wait_for()
    shoot(watching, "run-live")
    watching.context.close()
    card.context.close()


def afterwards(camera: Camera, incident: str, run: str) -> None:
    """The pages when all is well again."""
    camera.take("run-finished", run)
    camera.take("incident-after", incident)
    camera.take("incident-after-dark", incident, dark=True)
    camera.take("postmortem", f"{incident}postmortem/")
    camera.take("runbook", "/runbooks/sample/high-error-rate/")
    camera.take("audit", "/audit/")
    page = camera.open("/runbooks/sample/high-error-rate/edit/")
    source = page.locator("textarea[data-editor]").input_value()
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(
        source.replace("until: result.value < inputs.max_error", "until: result.value < inputs.max_eror", 1)
    )
    page.locator("#problems").get_by_role("button").first.click()
    page.locator(".cm-lintRange-error").first.wait_for()
    shoot(page, "editor")
    page.context.close()


if __name__ == "__main__":
    main()
