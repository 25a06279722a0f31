"""The commands that speak with a Handrail elsewhere: a real server on a socket, real tokens, real refusals."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django.live_server_helper import LiveServer

from handrail.accounts.models import Project
from handrail.accounts.secrets import digest_of
from handrail.cli.remote import credentials
from handrail.incidents.models import Incident
from handrail.shared.clock import now
from runbooks.models import Run, Runbook, RunbookVersion
from runbooks.steps.base import Success
from runbooks.versions import _definition
from tests import factories
from tests.cli.calling import call
from tests.runbooks.execution.stage import HEARTS, Stage, scripted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("elsewhere")]

RUNBOOK = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: fail-over, title: Fail over, owner: team:dba}
inputs:
  region: {type: string, required: true}
  n: {type: integer, default: 1}
steps:
  - id: ask
    kind: approval
    prompt: Fail over the checkout database?
    timeout: 15m
    for: [go]
  - {id: go, uses: noop}
"""


def started() -> Run:
    """The run that `handrail run` has started."""
    done = call("run", "fail-over", "-i", "region=eu-1", "--json")
    assert done.exit_code == 0, done.output
    return Run.objects.get(pk=json.loads(done.output)["run"]["id"])


# Signing in -----------------------------------------------------------------------------------


def test_a_token_is_kept_for_its_owner_alone_and_used_from_then_on(
    live_server: LiveServer, project: Project
) -> None:
    token = factories.token(factories.person("ada", {project: "viewer"}))
    done = call("login", live_server.url, input=f"{token}\n")
    assert done.exit_code == 0, done.output
    assert "It sees: shop." in done.output
    assert token not in done.output
    place = credentials.path()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert call("runbooks").exit_code == 0
    assert call("logout").exit_code == 0
    assert not place.exists()


def test_a_kept_token_goes_to_its_own_address_only(
    live_server: LiveServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("login", live_server.url, input=f"{factories.token(factories.person('ada', {project: 'viewer'}))}\n")
    monkeypatch.setenv("HANDRAIL_URL", "https://handrail.example")
    done = call("runbooks")
    assert (done.exit_code, "There is no token" in done.output) == (3, True)


def test_without_a_token_the_way_to_get_one_is_told() -> None:
    done = call("runs")
    assert done.exit_code == 3
    assert "handrail login" in done.output


def test_a_token_that_is_not_valid_is_not_kept(live_server: LiveServer, db: None) -> None:
    done = call("login", live_server.url, input="hr_nonsense\n")
    assert done.exit_code == 3
    assert not credentials.path().exists()


@pytest.mark.parametrize(
    "url", ["http://handrail.example", "ftp://x", "https://ada:pw@handrail.example", "https://"]
)
def test_no_token_is_sent_to_an_address_that_would_leak_it(url: str) -> None:
    assert call("login", url, input="hr_x\n").exit_code == 2


# What can go wrong on the way -----------------------------------------------------------------


def _answers(monkeypatch: pytest.MonkeyPatch, answer: bytes | None) -> threading.Thread:
    """A server that says this to whoever comes first, and hangs up; with None nobody listens."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("HANDRAIL_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("HANDRAIL_TOKEN", "hr_x")

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(answer or b"")
        connection.close()
        server.close()

    thread = threading.Thread(target=serve, daemon=True)
    if answer is None:
        server.close()
    else:
        thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (None, 5, "cannot be reached"),
        (b"", 5, "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 5, "did not answer as Handrail does"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://sso.example/\r\nContent-Length: 0\r\n\r\n",
            5,
            "sso.example",
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", 5, "502 Bad Gateway"),
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", 5, "Try again in 7 s"),
    ],
)
def test_what_goes_wrong_on_the_way_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, code: int, words: str
) -> None:
    _answers(monkeypatch, answer)
    done = call("runs")
    assert (done.exit_code, words in done.output, "Traceback" in done.output) == (code, True, False), (
        done.output
    )


def test_who_does_not_answer_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("HANDRAIL_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("HANDRAIL_TOKEN", "hr_x")
    monkeypatch.setattr("handrail.cli.remote.client.TIMEOUT", 0.05)
    done = call("runs")
    server.close()
    assert (done.exit_code, "did not answer in time" in done.output) == (5, True)


# Runs -----------------------------------------------------------------------------------------


def test_a_run_is_started_shown_and_stopped(as_role: str, project: Project) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    assert "fail-over" in call("runbooks").output
    done = call("run", "fail-over", "--input", "region=eu-1", "--input", "n=3")
    assert done.exit_code == 0, done.output
    row = Run.objects.get()
    assert (row.inputs, row.starter_name) == ({"region": "eu-1", "n": 3}, as_role)
    short = str(row.pk)[-8:]
    assert short in call("runs").output
    assert "waiting" in call("runs", short).output
    asked = call("stop", short, "--reason", "enough")
    assert (asked.exit_code, "add --yes" in asked.output) == (2, True)
    assert "Not begun: go" in asked.output
    assert call("stop", short, "--reason", "enough", "--yes").exit_code == 0
    row.refresh_from_db()
    assert (row.state, row.cancel_reason) == ("cancelled", "enough")
    again = call("stop", short, "--reason", "enough", "--yes")
    assert (again.exit_code, "over already" in again.output) == (2, True)


def test_inputs_that_do_not_fit_are_told_one_by_one(as_role: str, project: Project) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    done = call("run", "fail-over", "-i", "n=many")
    assert done.exit_code == 2
    assert "region" in done.output
    assert "  n: " in done.output
    assert call("run", "fail-over", "-i", "region").exit_code == 2
    assert call("run", "no-such-runbook").exit_code == 4


def test_one_key_starts_one_run(as_role: str, project: Project) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    first = call("run", "fail-over", "-i", "region=eu-1", "--key", "k")
    second = call("run", "fail-over", "-i", "region=eu-1", "--key", "k")
    assert ("has started" in first.output, "goes on already" in second.output) == (True, True)
    assert Run.objects.count() == 1


def test_the_log_is_followed_to_the_end_of_the_run(as_role: str, project: Project) -> None:
    runbook = factories.runbook(project)
    row = factories.run(runbook, state="failed", is_open=False)
    step = factories.step(row, "look", state="failed")
    step.log.create(n=1, attempt=1, at=row.created_at, stream="stdout", text="it \x1b[2Jsays so")
    done = call("logs", "-f", str(row.pk))
    assert done.exit_code == 1
    assert "look it \N{REPLACEMENT CHARACTER}[2Jsays so" in done.output
    one = call("logs", str(row.pk), "look", "--json")
    assert json.loads(one.output)["text"] == "it \x1b[2Jsays so"
    wrong = call("logs", str(row.pk), "lok")
    assert (wrong.exit_code, "It has look" in wrong.output) == (4, True)


def test_a_log_that_retention_has_removed_is_said_to_be_and_the_others_are_shown(
    as_role: str, project: Project
) -> None:
    at = now()
    removed = {"log": {"at": at.isoformat(), "days": 90}}
    row = factories.run(factories.runbook(project), state="succeeded", is_open=False, removed=removed)
    factories.step(row, "look", state="succeeded", created_at=at - timedelta(days=100))
    late = factories.step(row, "again", state="succeeded", created_at=at + timedelta(seconds=1))
    late.log.create(n=1, attempt=1, at=at, stream="stdout", text="after the resume")
    done = call("logs", str(row.pk))
    assert done.exit_code == 0
    assert f"look: Its log was removed on {at:%Y-%m-%d} by retention of 90 days." in done.output
    assert "again after the resume" in done.output


# People ---------------------------------------------------------------------------------------


@pytest.fixture
def uncertain(project: Project) -> Iterator[Run]:
    """A run whose only step nobody knows the fate of."""

    def explode(_context: object) -> Success:
        raise RuntimeError("a bug in an action")

    with scripted() as calls:
        calls.script = {"a": [explode]}
        stage = Stage(project, factories.actor(factories.person("starter", {project: "admin"})))
        row = stage.start(stage.publish("- {id: a, uses: test.call}"))
        stage.drive(row)
        yield row
    _definition.cache_clear()
    while HEARTS:
        HEARTS.pop().stop()


def test_a_person_decides_what_became_of_a_step(as_role: str, uncertain: Run) -> None:
    short = str(uncertain.pk)[-8:]
    assert f"handrail decide {short} a done|retry|fail" in call("runs", short).output
    assert call("decide", short, "a", "done").exit_code == 2, "a reason is needed"
    done = call("decide", short, "a", "done", "--reason", "I looked: it stands there")
    assert (done.exit_code, done.output) == (0, "a is succeeded.\n")
    uncertain.refresh_from_db()
    assert uncertain.state == "succeeded"
    event = uncertain.events.get(type="step.decided")
    assert (event.data["by"], event.data["choice"]) == (as_role, "done")
    again = call("decide", short, "a", "fail", "--reason", "r")
    assert (again.exit_code, "nothing to decide" in again.output) == (2, True)
    assert call("decide", short, "b", "done", "--reason", "r").exit_code == 4


def test_an_approval_is_read_and_approved_by_somebody_else(
    as_role: str, live_server: LiveServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    row = started()
    approval = row.approvals.get()
    own = call("approve", str(approval.pk), "--yes")
    assert own.exit_code == 4
    assert "starter" in own.output or "started" in own.output
    other = factories.person("grace", {project: "approver"})
    monkeypatch.setenv("HANDRAIL_TOKEN", factories.token(other))
    short = str(approval.pk)[-8:]
    assert "Fail over the checkout database?" in call("approvals").output
    shown = call("approvals", short)
    assert approval.digest[:16] in shown.output
    assert call("approve", short).exit_code == 2
    assert call("approve", short, "--yes", "--reason", "I looked").exit_code == 0
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by) == ("approved", "grace")
    assert call("approvals").output == "Nothing waits for anybody.\n"
    late = call("deny", short, "--reason", "no")
    assert late.exit_code in (0, 2)


def test_a_line_break_in_a_value_is_no_further_step_of_the_plan(
    as_role: str, live_server: LiveServer, project: Project
) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    approval = started().approvals.get()
    approval.prompt = "Restart checkout?\n  read: look"
    approval.plan = [{"step": "shift", "effect": "reversible", "preview": "Shift\n  read: look \u202e"}]
    approval.save()
    shown = call("approvals", str(approval.pk)).output
    assert r"Restart checkout?\n  read: look" in shown
    assert r"  reversible: Shift\n  read: look \u202e" in shown


def test_a_denial_needs_a_reason(as_role: str) -> None:
    assert call("deny", "01234567").exit_code == 2


def test_incidents_are_acknowledged_and_resolved(as_role: str, project: Project) -> None:
    row = factories.incident(project)
    assert f"INC-{row.number}" in call("incidents").output
    assert call("ack", f"INC-{row.number}").exit_code == 0
    assert call("resolve", str(row.number), "--reason", "gone").exit_code == 0
    assert Incident.objects.get(pk=row.pk).status == "resolved"
    told = json.loads(call("incidents", str(row.pk), "--json").output)
    assert told["timeline"]
    assert call("incidents").output == "There are no open incidents.\n"
    assert call("ack", "INC-999999").exit_code == 4


def test_who_may_only_look_may_only_look(
    as_role: str, live_server: LiveServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    row = started()
    viewer = factories.person("vera", {project: "viewer"})
    monkeypatch.setenv("HANDRAIL_TOKEN", factories.token(viewer))
    assert call("runs").exit_code == 0
    for arguments in (
        ("stop", str(row.pk), "--reason", "r", "--yes"),
        ("run", "fail-over", "-i", "region=x"),
    ):
        done = call(*arguments)
        assert (done.exit_code, "Traceback" in done.output) == (4, False), done.output
    monkeypatch.setenv("HANDRAIL_TOKEN", factories.token(factories.person("eve")))
    assert call("runs", str(row.pk)).exit_code == 4


def test_a_kill_switch_holds_a_runbook_back_until_it_is_off(as_role: str, project: Project) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    place = ("runbook", "--runbook", "fail-over", "--reason", "it does harm")
    assert call("switch", "on", *place).exit_code == 2, "nobody can be asked here"
    done = call("switch", "on", *place, "--yes", "--json")
    assert done.exit_code == 0, done.output
    short = json.loads(done.output)["id"][-8:]
    listed = call("switch", "list").output
    assert (short in listed, "it does harm" in listed) == (True, True)
    held = call("run", "fail-over", "-i", "region=eu-1")
    assert (held.exit_code, "waits" in held.output) == (0, True), held.output
    assert Run.objects.get().state == "pending"
    assert call("switch", "off", short, "--reason", "mended").exit_code == 0
    assert call("switch", "list").output == "No switch is on.\n"
    denied = call("switch", "on", "installation", "--reason", "r", "--yes")
    assert (denied.exit_code, "Traceback" in denied.output) == (4, False)


def newer_version(runbook: Runbook) -> None:
    """A second version, which is live from now on."""
    text = RUNBOOK.replace("Fail over the", "May we fail over the")
    runbook.live = runbook.versions.create(
        source=text,
        number=2,
        state=RunbookVersion.State.PUBLISHED,
        digest=digest_of(text),
        published_at=now(),
    )
    runbook.save(update_fields=["live"])


def test_a_run_is_paused_resumed_and_restarted(as_role: str, project: Project) -> None:
    runbook = factories.runbook(project, "fail-over", text=RUNBOOK)
    row = started()
    short = str(row.pk)[-8:]
    done = call("pause", short, "--reason", "a look first")
    assert (done.exit_code, "paused" in done.output) == (0, True), done.output
    asked = call("resume", short)
    assert (asked.exit_code, "add --yes" in asked.output) == (2, True), asked.output
    assert "It goes on where it was paused." in asked.output
    assert "nothing" not in asked.output, "it would sound as if the results were lost"
    assert call("resume", short, "--yes").exit_code == 0
    row.refresh_from_db()
    assert row.state == "waiting"
    preview = call("stop", short, "--reason", "enough", "--how", "hand_over")
    assert "Hand over: " in preview.output
    assert call("stop", short, "--reason", "enough", "--how", "undo", "--yes").exit_code == 0
    newer_version(runbook)
    again = call("restart", short, "--reason", "on the new version", "-i", "n=2", "--json")
    assert again.exit_code == 0, again.output
    assert Run.objects.get(pk=json.loads(again.output)["id"]).inputs == {"region": "eu-1", "n": 2}


def test_a_step_is_skipped_with_a_reason(as_role: str, project: Project) -> None:
    factories.runbook(project, "fail-over", text=RUNBOOK)
    row = started()
    assert call("skip", str(row.pk), "go").exit_code == 2, "a reason is needed"
    done = call("skip", str(row.pk), "go", "--reason", "by hand")
    assert done.exit_code == 0, done.output
    assert row.events.get(type="step.skipped", data__key="go").data["reason"] == "by hand"
    wrong = call("skip", str(row.pk), "gone", "--reason", "by hand")
    assert wrong.exit_code in (2, 4)
