"""`handrail check` names what is wrong in the words of the person who can mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.processes import TOP, environment

KEY = "k" * 50


def look(home: Path, **settings: str) -> tuple[int, dict[str, tuple[str, str, str]], str]:
    """Exit status, ``{about: (level, found, mend)}``, everything that was written."""
    done = subprocess.run(
        [sys.executable, "-m", "handrail.cli", "check", "--json"],
        cwd=TOP,
        env=environment(HANDRAIL_HOME=str(home), **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    said = {each["about"]: (each["level"], each["found"], each["mend"]) for each in findings}
    return done.returncode, said, done.stdout + done.stderr


def test_everything_that_is_wrong_with_a_fresh_and_careless_installation_is_said_at_once(
    tmp_path: Path,
) -> None:
    status, said, _ = look(
        tmp_path,
        HANDRAIL_DEBUG="1",
        HANDRAIL_BASE_URL="http://handrail.example.com",
        HANDRAIL_BROKER_URL="amqp://guest:s3cr3t@127.0.0.1:1//",
        HANDRAIL_SLAK_BOT_TOKEN="x",
        HANDRAIL_SLACK_BOT_TOKEN="xoxb-1",
    )
    assert status == 1
    assert said["settings"][:2] == (
        "warning",
        "HANDRAIL_SLAK_BOT_TOKEN is set, but no setting bears that name",
    )
    assert said["session key"][0] == "error"
    assert "handrail.example.com" in said["debug"][1]
    assert said["base address"][1] == "http://handrail.example.com is not https"
    assert said["database"][1] == "there is none yet"
    assert said["database"][2] == "run `handrail manage migrate`"
    assert said["broker"][0] == "error"
    assert "nothing is lost" in said["broker"][2]
    assert said["Slack"][0] == "error"
    assert "HANDRAIL_SLACK_SIGNING_SECRET" in said["Slack"][2]
    assert "owners" not in said, "without its tables, the database cannot be asked"


def test_a_machine_that_listens_to_others_is_no_place_for_tracebacks(tmp_path: Path) -> None:
    status, said, _ = look(
        tmp_path,
        HANDRAIL_SESSION_KEY=KEY,
        HANDRAIL_DEBUG="1",
        HANDRAIL_BIND="0.0.0.0:8000",
        HANDRAIL_ALLOWED_HOSTS="*",
    )
    assert status == 1
    assert said["debug"][:2] == ("error", "HANDRAIL_DEBUG is on while people come from 0.0.0.0")
    assert said["base address"][0] == "warning"
    assert "HANDRAIL_BASE_URL" in said["base address"][2]
    assert said["host names"][0] == "warning"


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999", "8000", "host:"])
def test_a_port_that_is_none_is_a_finding_too(tmp_path: Path, bind: str) -> None:
    status, said, _ = look(tmp_path, HANDRAIL_SESSION_KEY=KEY, HANDRAIL_BIND=bind)
    assert status == 1
    assert "HANDRAIL_BIND" in said["settings"][1]


def test_a_database_that_is_away_is_said_in_its_own_words_without_its_password(tmp_path: Path) -> None:
    status, said, everything = look(
        tmp_path / "nowhere",
        HANDRAIL_SESSION_KEY=KEY,
        HANDRAIL_BROKER_URL="redis://127.0.0.1:1/0",
        HANDRAIL_DATABASE_URL="postgres://handrail:s3cr3t-word@127.0.0.1:1/handrail",
    )
    assert status == 1
    assert said["session key"] == ("ok", "is set", "")
    assert said["home folder"][:2] == ("error", f"{tmp_path / 'nowhere'} is not there")
    assert said["database"][0] == "error"
    assert "Connection refused" in said["database"][1]
    assert "HANDRAIL_DATABASE_URL" in said["database"][2]
    assert "s3cr3t-word" not in everything
    assert "Traceback" not in everything


def test_it_only_looks_where_nothing_is_yet(tmp_path: Path) -> None:
    home = tmp_path / "nowhere"
    status, said, _ = look(home)
    assert status == 1
    assert said["home folder"][1] == f"{home} is not there"
    assert said["database"] == ("error", "there is none yet", "run `handrail manage migrate`")
    assert said["broker"][0] == "ok"
    assert not home.exists()

    home.mkdir(mode=0o700)
    look(home)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HANDRAIL_DATABASE_URL", "mysql://handrail:s3cr3t@db/handrail", "postgres://"),
        ("HANDRAIL_DATABASE_URL", "postgres://handrail:s3cr3t[@db/handrail", "percent-encoded"),
        ("HANDRAIL_DATABASE_URL", "postgres://db", "postgres://"),
        ("HANDRAIL_BROKER_URL", "kafka://s3cr3t@there", "redis://"),
        ("HANDRAIL_BIND", "8000", "host:port"),
        ("HANDRAIL_WORKER_CONCURRENCY", "many", "a whole number from 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handrail.config.environment import problems

    monkeypatch.setenv(name, value)
    said = [line for line in problems() if line.startswith(f"{name}:")]
    assert len(said) == 1
    assert words in said[0]
    assert "s3cr3t" not in said[0]


@pytest.mark.parametrize(
    "value",
    [
        "postgres://handrail@127.0.0.1:5432/handrail",
        "postgresql://handrail:p%40ss@[::1]:5432/handrail?sslmode=require",
        "postgres:///handrail?host=/var/run/postgresql",
        "sqlite:////var/lib/handrail/handrail.sqlite3",
    ],
)
def test_addresses_of_databases_that_django_understands_are_accepted(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dj_database_url

    from handrail.config.environment import read

    monkeypatch.setenv("HANDRAIL_DATABASE_URL", value)
    assert dj_database_url.parse(read("HANDRAIL_DATABASE_URL"))["NAME"]


def test_what_only_the_first_run_would_find_out_is_said_before(tmp_path: Path) -> None:
    status, said, everything = look(
        tmp_path,
        HANDRAIL_SESSION_KEY=KEY,
        HANDRAIL_VAULT_KEYS="s3cr3t-but-no-key",
        HANDRAIL_VAULT_FILES=str(tmp_path / "nowhere"),
        HANDRAIL_BROKER_URL="redis://127.0.0.1:1/zero",
    )
    assert status == 1
    assert said["vault keys"][0] == "error"
    assert "Fernet" in said["vault keys"][1]
    assert "nowhere is not there" in said["vault files"][1]
    assert said["broker"][0] == "error"
    assert "s3cr3t" not in everything


def test_an_empty_session_key_is_none(tmp_path: Path) -> None:
    (tmp_path / "session-key").touch()
    status, said, _ = look(tmp_path)
    assert status == 1
    assert said["session key"][:2] == ("error", "there is none: sessions could be forged")


def test_a_home_that_cannot_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    from handrail.cli import check

    monkeypatch.setattr(settings, "HOME", tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert [finding.found for finding in check._home()] == [f"this user may not write to {tmp_path}"]


@pytest.mark.parametrize("name", ["a#b", "a%20b", "a b", "a?b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    subprocess.run(
        [sys.executable, "-m", "handrail.cli", "manage", "migrate", "--verbosity", "0", "audit"],
        cwd=TOP,
        env=environment(HANDRAIL_HOME=str(home), HANDRAIL_SESSION_KEY=KEY),
        check=True,
        timeout=120,
    )
    assert (home / "handrail.sqlite3").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
