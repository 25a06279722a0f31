"""One run whose secrets come back from everywhere, and then a search for them wherever anything is kept or shown."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from structlog.testing import capture_logs
from werkzeug import Request, Response

from handrail.catalog.models import RunnerPool
from handrail.config.telemetry import TALKATIVE
from handrail.incidents import actions as incidents
from handrail.incidents.models import Incident
from handrail.incidents.postmortems.drafting import draft_due
from handrail.vault.actions import set_secret
from integrations.slack.card import render
from integrations.slack.incident_card import render as render_incident
from integrations.slack.reading import approval_card, approval_row, incident_card
from runbooks import approvals, runs
from runbooks.models import Approval, Run, StepRun
from runbooks.steps import processes
from tests import factories
from tests.runbooks.execution.stage import Stage, states

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "Zq7\"/\\+ %&<é'kP0-wX4y  Jm9$vT2?bN5#hR8"
"""Every character that an encoding changes, in an order that is nowhere else."""

PLAIN = "pL4in-kE3y-0f-th3-h3ad3r-Xu7Qz"
BEARER = "b3arer-0f-th3-c0nn3ction-Ty6Wm"

WINDOW = 12
"""Characters in a row that would be a leak: a part of a secret is a secret."""

HEADER = """\
secrets: {token: 'local:token', plain: 'local:plain'}
inputs: {size: {type: integer, default: 0}}
outcome: {recovered: "true"}"""

STEPS = r"""
- id: send
  title: Send it, and get it back in every form
  uses: http.request
  with:
    connection: vendor
    method: POST
    path: "/echo/${{ secrets.plain }}"
    query: {q: "${{ secrets.token }}"}
    headers: {X-Token: "${{ secrets.plain }}"}
    json: {token: "${{ secrets.token }}", inside: {deeper: "a ${{ secrets.token }} b"}}
- id: read_back
  title: Read it without naming it
  uses: http.request
  with: {connection: vendor, path: /stored}
- id: refused
  title: Be refused with it
  uses: http.request
  continue_on_error: true
  retry: {max_attempts: 2, initial_interval: 0s}
  with: {connection: vendor, method: POST, path: /fail, json: {token: "${{ secrets.token }}"}}
- id: forbidden
  title: Ask for what the connection does not allow
  uses: http.request
  continue_on_error: true
  with: {connection: vendor, path: "/nowhere/${{ secrets.plain }}"}
- id: post
  title: Say it in Slack
  uses: slack.post
  with: {channel: "#incidents", text: "the token is ${{ secrets.token }}"}
- id: note
  title: Say it in the incident
  uses: incident.update
  with: {note: "the token is ${{ secrets.token }}"}
- id: ask
  kind: approval
  prompt: "Run the program?"
  for: [program, argument]
  timeout: 15m
- id: program
  title: Run a program that says it
  uses: shell.run
  when: steps.ask.decision == "approved"
  continue_on_error: true
  with:
    env: {TOKEN: "${{ secrets.token }}", PLAIN: "${{ secrets.plain }}"}
    stdin: "${{ secrets.token }}"
    script: |
      printf '%s|%s\n' "$TOKEN" "$PLAIN"
      printf '%s' "$TOKEN" | base64 -w0; echo
      printf '%s' "$TOKEN" | base64 -w0 | tr '+/' '-_'; echo
      printf 'x%s' "$TOKEN" | base64 -w0; echo
      printf '%s' "$TOKEN" | od -An -v -tx1 | tr -d ' \n'; echo
      cat; echo
      printf 'it broke near %s\n' "$TOKEN" >&2
      exit 3
- id: argument
  title: Give it to a program on its command line
  uses: shell.run
  continue_on_error: true
  with: {argv: [printf, "%s", "${{ secrets.plain }}"]}
"""


def spellings(value: str) -> Iterator[str]:
    """How others may write a secret, without a look at how the redactor does."""
    raw = value.encode()
    escaped = json.dumps(value)[1:-1]
    yield value
    yield " ".join(value.split())
    yield repr(value)[1:-1]
    yield escaped
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield escaped.replace("/", "\\/")
    yield escaped.replace("<", "\\u003c").replace("&", "\\u0026")
    yield html.escape(value)
    yield html.escape(value).replace("&#x27;", "&#39;")
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield encoded
        yield re.sub("%..", lambda found: found.group().lower(), encoded)
    yield raw.hex()
    yield raw.hex().upper()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in (b"", b"x", b"xy"):
            yield encode(before + raw).decode().rstrip("=")
        yield quote(encode(raw).decode(), safe="")


def windows(value: str) -> set[str]:
    return {
        spelling[at : at + WINDOW]
        for spelling in spellings(value)
        for at in range(len(spelling) - WINDOW + 1)
    }


LEAKS = {window: secret for secret in (TOKEN, PLAIN, BEARER) for window in windows(secret)}


def leaks(text: str) -> list[str]:
    return [f"{LEAKS[window]!r} as {window!r}" for window in LEAKS if window in text]


def everything(got: Request) -> str:
    """Whatever was sent, and every spelling of every secret."""
    lines = [
        got.query_string.decode(),
        got.headers.get("Authorization", ""),
        got.headers.get("X-Token", ""),
        got.get_data(as_text=True),
    ]
    return "\n".join([*lines, *(text for secret in (TOKEN, PLAIN, BEARER) for text in spellings(secret))])


def refusal(got: Request) -> Response:
    """The secret lies across the end of the excerpt that an error keeps, with whitespace that is collapsed."""
    return Response("x" * 480 + f"\n {TOKEN} and {PLAIN}", status=503, headers={"X-Said": PLAIN})


@pytest.fixture
def vendor(stage: Stage, httpserver: HTTPServer) -> HTTPServer:
    """A service that repeats what it is told."""
    factories.connection(
        stage.project,
        "vendor",
        base_url=httpserver.url_for("/"),
        authentication="bearer",
        secret_reference="local:bearer",
        allowed_methods=["GET", "POST"],
        allowed_paths=["/echo", "/stored", "/fail"],
        allowed_networks=["127.0.0.0/8"],
    )
    for name, value in (("token", TOKEN), ("plain", PLAIN), ("bearer", BEARER)):
        set_secret(stage.project, name, value, actor=stage.actor)
    httpserver.expect_request(f"/echo/{PLAIN}").respond_with_handler(
        lambda got: Response(
            json.dumps({"said": everything(got), TOKEN: [TOKEN], "long": "y" * 70_000 + TOKEN}),
            content_type="application/json",
            headers={"X-Said": got.headers["X-Token"], "Set-Cookie": f"token={PLAIN}"},
        )
    )
    # The end of the text that is kept lies in the middle of a secret.
    httpserver.expect_request("/stored").respond_with_data("y" * (64 * 1024 - 20) + TOKEN)
    httpserver.expect_request("/fail").respond_with_handler(refusal)
    return httpserver


def in_the_database() -> Iterator[tuple[str, str]]:
    """Every value of every row of every table, as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    text = (
                        bytes(value).decode("latin-1")
                        if isinstance(value, (bytes, memoryview))
                        else str(value)
                    )
                    yield f"{table}.{column}", text


def in_files() -> Iterator[tuple[str, str]]:
    for folder, _, names in os.walk(Path(django_settings.HOME) / "artifacts"):
        for name in names:
            yield name, (Path(folder) / name).read_text("utf-8", "replace")


def on_pages(stage: Stage, run: Run, incident: Incident) -> Iterator[tuple[str, str]]:
    """What people and programs are shown."""
    reader = factories.person(roles={stage.project: "admin"})
    browser = Client()
    browser.force_login(reader)
    steps = StepRun.objects.filter(run=run)
    approval = Approval.objects.get(run=run)
    addresses = [
        f"/runs/{run.pk}/",
        *(f"/runs/{run.pk}/?step={step.node}" for step in steps),
        f"/approvals/{approval.pk}/",
        f"/incidents/{incident.pk}/",
        f"/incidents/{incident.pk}/postmortem/",
        f"/api/v1/runs/{run.pk}/",
        f"/api/v1/runs/{run.pk}/steps/",
        *(f"/api/v1/runs/{run.pk}/steps/{step.pk}/log/" for step in steps),
        f"/api/v1/approvals/{approval.pk}/",
        f"/api/v1/incidents/{incident.pk}/timeline/",
        f"/api/v1/incidents/{incident.pk}/postmortem.md",
        "/audit/",
    ]
    token = factories.token(reader)
    for address in addresses:
        headers = {"Authorization": f"Bearer {token}"} if address.startswith("/api/") else {}
        answer = browser.get(address, headers=headers)
        assert answer.status_code == 200, address
        yield address, answer.content.decode()


def in_slack(approval: Approval, incident: Incident) -> Iterator[tuple[str, str]]:
    row, shown = approval_row(approval.pk), incident_card(incident.pk)
    assert row is not None
    assert shown is not None
    yield "the approval's card", str(render(approval_card(row)))
    yield "the incident's message", str(render_incident(shown))


def test_no_form_of_a_secret_is_kept_logged_or_shown(
    stage: Stage,
    vendor: HTTPServer,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.SLACK_BOT_TOKEN = "xoxb-of-the-tests"
    monkeypatch.setattr(processes, "CHUNK", 7)
    RunnerPool.objects.create(name="default", allow_shell=True)
    caplog.set_level(logging.DEBUG)
    for name in TALKATIVE:
        caplog.set_level(logging.WARNING, logger=name)
    incident = incidents.open_incident(stage.project, title="Carts are empty", actor=stage.actor)
    with capture_logs() as logged:
        runbook = stage.publish(STEPS, rest=HEADER)
        run = runs.start(runbook, inputs={}, actor=stage.actor, incident=incident).run
        stage.drive(run)
        approval = Approval.objects.get()
        card = list(in_slack(approval, incident))
        voter = factories.actor(factories.person(roles={stage.project: "approver"}))
        approvals.decide(approval.pk, actor=voter, decision="approve")
        stage.drive(run)
        incidents.resolve(incident, actor=stage.actor)
        draft_due()
    assert states(run) == {
        "send": "succeeded",
        "read_back": "succeeded",
        "refused": "failed",
        "forbidden": "failed",
        "post": "succeeded",
        "note": "succeeded",
        "ask": "succeeded",
        "program": "failed",
        "argument": "failed",
    }, "otherwise nothing is shown"
    assert len([got for got, _ in vendor.log if BEARER in got.headers["Authorization"]]) == 4
    plan = json.dumps(approval.plan)
    assert "<secret local:token>" in plan
    assert "<secret local:plain>" in plan
    places = [
        *in_the_database(),
        *in_files(),
        *card,
        *in_slack(approval, incident),
        *on_pages(stage, run, incident),
        ("the log", caplog.text),
        *(("the log", told(entry)) for entry in logged),
    ]
    assert [f"{where}: {found[:3]}" for where, text in places if (found := leaks(text))] == []
    said = " ".join(text for where, text in places if where == "runbooks_logline.text")
    assert said.count("[redacted]") > 8, "what was said is there, without its secrets"


def told(entry: object) -> str:
    """A structured line with what its exception says."""
    assert isinstance(entry, dict)
    raised = entry.get("exc_info")
    more = "".join(traceback.format_exception(raised)) if isinstance(raised, BaseException) else ""
    return f"{entry} {more}"
