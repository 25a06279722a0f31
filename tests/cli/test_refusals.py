"""What goes wrong with database and folder is one sentence that says what to do, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from handrail.cli import up
from handrail.config.environment import BadSettingError, running_url
from handrail.shared.errors import Invalid
from tests.flows.processes import TOP, environment
from tests.ports import free_ports


def told(home: Path, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "handrail.cli", *arguments],
        cwd=TOP,
        env=environment(HANDRAIL_HOME=str(home), HANDRAIL_SESSION_KEY="k" * 50, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_database_without_its_tables_is_to_be_migrated(tmp_path: Path) -> None:
    said = told(tmp_path, "owner")
    assert said.startswith("handrail: The database is not as this version needs it (no such table")
    assert "`handrail manage migrate`" in said


@pytest.mark.parametrize("command", [("up",), ("audit", "verify"), ("manage", "migrate")])
def test_what_is_no_database_is_said_to_be_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    none = tmp_path / "handrail.sqlite3"
    none.write_bytes(b"no database, but long enough to be read as the head of one" * 9)
    web, demo, _ = free_ports(3)
    said = told(tmp_path, *command, HANDRAIL_BIND=f"127.0.0.1:{web}", HANDRAIL_DEMO_BIND=f"127.0.0.1:{demo}")
    assert "The database does not answer: file is not a database." in said


def test_a_home_that_cannot_be_made_is_refused_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path / "file"))
    with pytest.raises(Invalid, match="HANDRAIL_HOME"):
        up.prepare_home()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "address").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    with pytest.raises(BadSettingError, match="address cannot be read"):
        running_url()


def test_what_a_full_disk_left_empty_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "session-key").touch()
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    up.prepare_home()
    assert len((tmp_path / "session-key").read_text()) >= 50
