"""`handrail source try`: what a person and a script see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from handrail.cli.source import source

BODY = {
    "status": "firing",
    "receiver": "handrail",
    "alerts": [
        {
            "status": "resolved",
            "labels": {"alertname": "Übervoll", "severity": "page"},
            "startsAt": "2026-03-01T12:00:00.120000789Z",
            "endsAt": "2026-03-01T13:00:00+00:30",
            "fingerprint": "00c0ffee00c0ffee",
        },
        {
            "status": "firing",
            "labels": {"alertname": "Quiet"},
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "f2",
        },
    ],
}


def run(*arguments: str, body: object = None) -> Result:
    return CliRunner().invoke(source, ["try", *arguments], input=json.dumps(body))


def test_what_the_sender_left_out_is_said_beside_the_alerts() -> None:
    result = run("alertmanager", "-", body={**BODY, "truncatedAlerts": 3})
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert "left 3 more alerts" in result.stderr


def test_the_alerts_are_printed_as_json_lines() -> None:
    result = run("alertmanager", "-", body=BODY)
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "status": "resolved",
            "severity": "critical",
            "title": "Übervoll",
            "fingerprint": "00c0ffee00c0ffee",
            "started_at": "2026-03-01T12:00:00.12Z",
            "ended_at": "2026-03-01T12:30:00Z",
            "labels": {"alertname": "Übervoll", "severity": "page"},
        },
        {
            "status": "firing",
            "severity": "unknown",
            "title": "Quiet",
            "fingerprint": "f2",
            "started_at": None,
            "ended_at": None,
            "labels": {"alertname": "Quiet"},
        },
    ]


def test_headers_and_a_mapping_are_used(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text('{"title": "body.what + headers[\'x-env\']"}')
    body = tmp_path / "body.json"
    body.write_bytes('{"what": "é"}'.encode("latin-1"))
    charset = "Content-Type: application/json; charset=latin-1"
    result = run(
        "generic", str(body), "--header", charset, "--header", "X-Env: prod", "--mapping", str(mapping)
    )
    assert json.loads(result.stdout)["title"] == "éprod"


def test_of_a_message_the_command_shows_what_expressions_see() -> None:
    result = run(
        "webhook", "-", "--header", "X-Event-Key: push", "--header", "X-Token: s", body={"ref": "main"}
    )
    assert json.loads(result.stdout) == {"headers": {"x-event-key": "push"}, "body": {"ref": "main"}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alertmanger", "-"], "did you mean alertmanager"),
        (["alertmanager", "-"], "not a body of alertmanager: $ should be"),
        (["alertmanager", "/nowhere/body.json"], "cannot read /nowhere/body.json: No such file"),
        (["alertmanager", "/"], "Is a directory"),
        (["generic", "-", "--header", "nonsense"], "Name: value"),
        (["generic", "-", "--mapping", "/nowhere/mapping"], "cannot read /nowhere/mapping"),
        (["alertmanager", "-", "--mapping", "/dev/null"], "the mapping /dev/null: the body is empty"),
    ],
)
def test_a_refusal_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    result = run(*arguments, body={"labels": {}})
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_neither_django_nor_a_database_is_loaded() -> None:
    program = (
        "import sys, handrail.cli as c; sys.argv[1:] = ['source', 'try', 'alertmanager', '-'];\n"
        "try: c.main()\n"
        "except SystemExit as leaving: code = leaving.code\n"
        "unwanted = {'django', 'sqlite3', 'psycopg', 'celery'}\n"
        "print(sorted(unwanted & sys.modules.keys()))\n"
        "sys.exit(code)"
    )
    environment = os.environ | {
        "DATABASE_URL": "postgres://nowhere.invalid:1/none",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(BODY),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
