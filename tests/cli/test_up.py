"""`handrail up`: one installation a folder, its own secrets, and refusals that say which setting helps."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.cli import up
from handrail.config.environment import base_url, http_url, is_loopback, running_url, split_bind
from handrail.demo.sample import CONNECTIONS, follow, seed
from handrail.shared.errors import Invalid
from tests.flows.patience import eventually
from tests.flows.processes import TOP, environment
from tests.ports import free_ports


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_and_its_key_are_for_their_owner_alone_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HANDRAIL_HOME", str(home))
    assert up.prepare_home() == home
    key = (home / "session-key").read_text()
    assert len(key) >= 50
    assert (permissions(home), permissions(home / "session-key")) == (0o700, 0o600)
    up.prepare_home()
    assert (home / "session-key").read_text() == key


def test_a_port_that_is_taken_is_refused_with_the_setting_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Invalid, match=rf"127\.0\.0\.1:{port} cannot be used .* set HANDRAIL_BIND to"):
            up._refuse_taken("127.0.0.1", port, "HANDRAIL_BIND")
    up._refuse_taken("127.0.0.1", port, "HANDRAIL_BIND")


def test_a_second_start_in_the_same_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with (
        up._only_one(tmp_path),
        pytest.raises(
            Invalid, match=rf"up already from {re.escape(str(tmp_path))} \(process {os.getpid()}\)"
        ),
        up._only_one(tmp_path),
    ):
        pass
    with up._only_one(tmp_path):
        assert (tmp_path / "up.lock").read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("bind", "demo", "slack", "production"),
    [
        (("127.0.0.1", 8000), "", "http://127.0.0.1:8001", "http://127.0.0.1:8002"),
        (("::1", 8000), "", "http://[::1]:8001", "http://[::1]:8002"),
        # A fake Slack lets anybody press anybody's buttons: it is opened to others only by the one who says so.
        (("0.0.0.0", 8000), "", "http://127.0.0.1:8001", "http://127.0.0.1:8002"),
        (("127.0.0.1", 8000), "0.0.0.0:9000", "http://127.0.0.1:9000", "http://127.0.0.1:9001"),
    ],
)
def test_the_fakes_stand_beside_the_web_but_never_in_the_open_by_themselves(
    bind: tuple[str, int], demo: str, slack: str, production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_DEMO_BIND", demo)
    address = up._demo_address(*bind)
    assert (address.slack, address.production) == (slack, production)


@pytest.mark.parametrize(("given", "then"), [("", up.DEMO_AUTO_RESOLVE_SECONDS), ("60", "60")])
def test_an_empty_variable_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, then: str
) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    for name in ("HANDRAIL_SLACK_BASE_URL", "HANDRAIL_SLACK_BOT_TOKEN", "HANDRAIL_SLACK_SIGNING_SECRET"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HANDRAIL_AUTO_RESOLVE_AFTER", given)
    up.use_fake_slack(up.DemoAddress("127.0.0.1", 8001))
    assert os.environ["HANDRAIL_AUTO_RESOLVE_AFTER"] == then


def test_the_last_port_leaves_no_room_for_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDRAIL_DEMO_BIND", raising=False)
    with pytest.raises(Invalid, match="set HANDRAIL_DEMO_BIND"):
        up._demo_address("127.0.0.1", 65_534)


def test_the_base_address_follows_the_bind_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDRAIL_BASE_URL", raising=False)
    monkeypatch.setenv("HANDRAIL_BIND", "0.0.0.0:9000")
    assert base_url() == "http://127.0.0.1:9000"
    monkeypatch.setenv("HANDRAIL_BASE_URL", "https://handrail.example.com/")
    assert base_url() == "https://handrail.example.com"
    assert http_url("::1", 80) == "http://[::1]:80"
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "10.0.0.1", "web.example")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("bind", ["", "8000", "host:", ":8000", "host:0", "host:65536", "host:²"])
def test_a_bind_that_cannot_be_is_refused_by_the_name_of_its_setting(bind: str) -> None:
    with pytest.raises(Invalid, match=r"HANDRAIL_DEMO_BIND is .* write host:port"):
        split_bind(bind, name="HANDRAIL_DEMO_BIND")


def test_the_demo_finds_the_installation_that_was_started_last_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    for name in ("HANDRAIL_BASE_URL", "HANDRAIL_BIND"):
        monkeypatch.delenv(name, raising=False)
    assert running_url() == "http://127.0.0.1:8000"
    (tmp_path / "address").write_text("http://127.0.0.1:9000")
    assert running_url() == "http://127.0.0.1:9000"
    monkeypatch.setenv("HANDRAIL_BASE_URL", "https://handrail.example.com")
    assert running_url() == "https://handrail.example.com"


@pytest.mark.django_db
def test_the_samples_connections_follow_the_fakes_to_another_port_but_not_what_somebody_made_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    assert list(seed("http://127.0.0.1:8002")) == [
        "Created the sample project with the containment runbook high-error-rate."
    ]
    assert list(seed("http://127.0.0.1:8002")) == [], "only an empty installation is given the sample"
    project = Project.objects.get(slug="sample")
    own = Connection.objects.get(project=project, name="prometheus")
    Connection.objects.filter(pk=own.pk).update(base_url="https://prometheus.example.com/prometheus")
    follow("http://127.0.0.1:9002")
    found = dict(Connection.objects.filter(project=project).values_list("name", "base_url"))
    assert found == {
        name: f"http://127.0.0.1:9002{path}"
        if name != "prometheus"
        else "https://prometheus.example.com/prometheus"
        for name, path, _ in CONNECTIONS
    }


@pytest.mark.flow
def test_a_start_says_where_everything_is_a_stop_leaves_nothing_and_both_are_calm(tmp_path: Path) -> None:
    ports = free_ports(3)
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "handrail.cli", "up"],
            cwd=TOP,
            env=environment(
                HANDRAIL_HOME=str(tmp_path / "home"),
                HANDRAIL_BIND=f"127.0.0.1:{ports[0]}",
                HANDRAIL_DEMO_BIND=f"127.0.0.1:{ports[1]}",
            ),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually("it says that it is up", lambda: "Ctrl-C stops it" in log.read_text())
        refused = subprocess.run(
            [sys.executable, "-m", "handrail.cli", "up"],
            cwd=TOP,
            env=environment(HANDRAIL_HOME=str(tmp_path / "home")),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("handrail: Handrail is up already from ")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    said = [re.sub(r"/link/\S+", "/link/...", line) for line in log.read_text().splitlines() if line]
    web, slack = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    assert said == [
        "Created the sample project with the containment runbook high-error-rate.",
        "Starting ...",
        f"Handrail is up:        {web}",
        f"Become its owner:      {web}/link/...   (works once, for a day)",
        f"The fake Slack's page: {slack}/",
        "Drive the main job:    make demo   (or: handrail demo; WAIT=1 / --wait leaves the click to you)",
        "Ctrl-C stops it; a second start keeps everything.",
        "Stopping: what is in hand is finished first; once more ends it at once.",
        "Stopped. Everything is kept; `handrail up` goes on from here.",
    ]
    for port in ports[:2]:
        up._refuse_taken("127.0.0.1", port, "HANDRAIL_BIND")
