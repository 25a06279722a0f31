"""`handrail up`: everything on this machine with embedded defaults, for the first ten minutes and for small teams."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
import httpx2

from handrail.cli import set_up_django
from handrail.cli.processes import Child, Supervisor
from handrail.config.environment import (
    base_url,
    home,
    http_url,
    is_loopback,
    kept,
    make_home,
    read,
    split_bind,
)
from handrail.shared.errors import Invalid

DEMO_AUTO_RESOLVE_SECONDS = "3"
"""With the fake Slack, incidents resolve by themselves after this long, so that a newcomer need not wait."""


@click.command()
@click.option("--no-sample", is_flag=True, help="Do not create the sample project in an empty installation.")
def up(no_sample: bool) -> None:
    """Start the web, a worker, a sweeper and (without a real Slack) the fake one; Ctrl-C stops it all."""
    # Started in the background of a script, SIGINT is ignored; it must stop a start, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    host, port = split_bind(read("HANDRAIL_BIND"))
    demo = None if read("HANDRAIL_SLACK_BOT_TOKEN") else _demo_address(host, port)
    folder = prepare_home()
    with _only_one(folder):
        _refuse_taken(host, port, "HANDRAIL_BIND")
        if demo is not None:
            _refuse_taken(demo.host, demo.port, "HANDRAIL_DEMO_BIND")
            _refuse_taken(demo.host, demo.port + 1, "HANDRAIL_DEMO_BIND")
            use_fake_slack(demo)
        # What the children have to say in a normal start is nothing; whoever sets the level hears more.
        _unless_set("HANDRAIL_LOG_LEVEL", "warning")
        set_up_django()
        _migrate()
        if demo is not None:
            _seed(demo, sample=not no_sample)
        # Its worker is a supervisor, too, and shall be the first to lose patience.
        grace = float(read("HANDRAIL_STOP_GRACE_SECONDS")) + 5
        Supervisor(_children(demo), say=_say, name_lines=True, grace_seconds=grace).run(
            when_started=lambda: _announce(host, port, demo)
        )
    _say("Stopped. Everything is kept; `handrail up` goes on from here.")


@dataclass(frozen=True, slots=True)
class DemoAddress:
    """Where the fake Slack listens; the sample production takes the next port."""

    host: str
    port: int

    @property
    def slack(self) -> str:
        """The fake Slack's address."""
        return http_url(self.host, self.port)

    @property
    def production(self) -> str:
        """The sample production's address."""
        return http_url(self.host, self.port + 1)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder for this process: two would move each other's fake Slack and take each other's broker."""
    with _opened(folder / "up.lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Invalid(
                f"Handrail is up already from {folder} (process {lock.read().strip()}): stop that one, "
                "or set HANDRAIL_HOME to another folder (and HANDRAIL_BIND to another port)."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _opened(path: Path) -> IO[str]:
    """The file, to be read and written; Invalid when this user may not."""
    try:
        return path.open("a+")
    except OSError as error:
        raise Invalid(
            f"{path} cannot be opened ({error.strerror}): this user needs to own {path.parent}."
        ) from error


def prepare_home() -> Path:
    """HANDRAIL_HOME, created where it is missing, with the session key in it."""
    folder = make_home()
    if not kept("session-key"):
        write_private(folder / "session-key", secrets.token_urlsafe(50))
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_suffix(".part")
    try:
        part.touch(mode=0o600)
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise Invalid(
            f"{path} cannot be written ({error.strerror}): this user needs to own {path.parent}."
        ) from error


def use_fake_slack(demo: DemoAddress) -> None:
    """Point this process and its children at the fake Slack; its secrets are made once and kept."""
    if not kept("fake-slack-secret"):
        write_private(home() / "fake-slack-secret", secrets.token_hex(16))
    secret = kept("fake-slack-secret")
    os.environ["HANDRAIL_SLACK_BASE_URL"] = f"{demo.slack}/api/"
    os.environ["HANDRAIL_SLACK_BOT_TOKEN"] = f"xoxb-fake-{secret[:12]}"
    os.environ["HANDRAIL_SLACK_SIGNING_SECRET"] = secret
    _unless_set("HANDRAIL_AUTO_RESOLVE_AFTER", DEMO_AUTO_RESOLVE_SECONDS)


def _unless_set(name: str, value: str) -> None:
    """A default of this command's own; an empty variable is none, as everywhere."""
    if not os.environ.get(name, "").strip():
        os.environ[name] = value


def _demo_address(host: str, port: int) -> DemoAddress:
    """HANDRAIL_DEMO_BIND, or the port after the web's; never by itself where other machines could press its buttons."""
    bind = read("HANDRAIL_DEMO_BIND")
    if bind:
        host, port = split_bind(bind, name="HANDRAIL_DEMO_BIND")
    else:
        host, port = host if is_loopback(host) else "127.0.0.1", port + 1
    if port + 1 > 65_535:
        raise Invalid("The fake Slack and the sample production have no ports left: set HANDRAIL_DEMO_BIND.")
    return DemoAddress(host, port)


def _refuse_taken(host: str, port: int, setting: str) -> None:
    """Invalid when nobody can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Invalid(
            f"{host}:{port} cannot be used ({error.strerror}): stop what listens there, or set {setting} to "
            f"another address, such as {setting}=127.0.0.1:{18_000 if setting == 'HANDRAIL_BIND' else 18_500}"
        ) from error


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def _seed(demo: DemoAddress, *, sample: bool) -> None:
    """Make the sample project in an empty installation; move an older one's connections to where the fakes are now."""
    from handrail.demo.sample import follow, keep, seed

    keep("fakes-url", demo.slack)
    keep("address", base_url())
    for sentence in seed(demo.production) if sample else ():
        _say(sentence)
    follow(demo.production)


def _children(demo: DemoAddress | None) -> list[Child]:
    def handrail(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "handrail.cli", *arguments]

    children = [
        Child("web", handrail("web")),
        Child("worker", handrail("worker")),
        Child("sweeper", handrail("sweeper")),
    ]
    if demo is not None:
        children.insert(0, Child("fake Slack", handrail("fakes", "--bind", f"{demo.host}:{demo.port}")))
    return children


def _announce(host: str, port: int, demo: DemoAddress | None) -> None:
    """Say where everything is as soon as the web answers."""
    thread = threading.Thread(target=_announce_when_ready, args=(host, port, demo), daemon=True)
    thread.start()


def _announce_when_ready(host: str, port: int, demo: DemoAddress | None) -> None:
    from handrail.demo.sample import owner_link

    _say("Starting ...")
    if not answers(f"{http_url(host, port)}/readyz", within=60):
        _say("The web does not answer after a minute: see what it wrote above, or run `handrail check`.")
        return
    link = owner_link()
    _say("")
    _say(f"Handrail is up:        {base_url()}")
    if link:
        _say(f"Become its owner:      {link}   (works once, for a day)")
    if demo is not None:
        _say(f"The fake Slack's page: {demo.slack}/")
        _say(
            "Drive the main job:    make demo   (or: handrail demo; WAIT=1 / --wait leaves the click to you)"
        )
    if not is_loopback(host) and not read("HANDRAIL_BASE_URL"):
        _say(f"Others can reach {host}:{port}: set HANDRAIL_BASE_URL to the address that they use.")
    _say("Ctrl-C stops it; a second start keeps everything.")


def answers(url: str, *, within: float) -> bool:
    """Whether ``url`` gives a success within so many seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            if httpx2.get(url, timeout=2, trust_env=False).is_success:
                return True
        except httpx2.HTTPError:
            pass
        pause.wait(0.1)
    return False


def _say(sentence: str) -> None:
    click.echo(sentence)
    sys.stdout.flush()
