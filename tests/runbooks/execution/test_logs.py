"""What a step says is followed while it runs, and however much it is, memory and database hold a bounded part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import OperationalError
from django.test import Client

from handrail.shared.artifacts import LARGEST_IN_ROW, get
from handrail.vault.redaction import Redactor
from runbooks.execution import logs
from runbooks.execution.live import Unreadable, load
from runbooks.execution.logs import MOST_LINES, StepLog
from runbooks.models import Artifact, LogLine, Run, RunEvent, StepAttempt, StepRun
from runbooks.steps.base import Failure, Success
from runbooks.steps.processes import Listener
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, ready_steps

pytestmark = pytest.mark.django_db


@pytest.fixture
def step() -> StepRun:
    return factories.step(factories.run(factories.runbook(factories.project("shop"))))


@pytest.fixture(autouse=True)
def _home(settings: LazySettings, tmp_path: Path) -> None:
    settings.ARTIFACT_STORAGE = str(tmp_path / "artifacts")
    settings.STORAGES = {**settings.STORAGES}  # made anew


def texts(step: StepRun) -> list[str]:
    return list(LogLine.objects.filter(step=step).values_list("text", flat=True))


def test_lines_are_there_while_the_step_goes_on(step: StepRun) -> None:
    log = StepLog(step.pk, 1, Redactor(["hunter22"]))
    log.say("stdout", "first\nsecond hunter22")
    log.flush()
    assert texts(step) == ["first", "second [redacted]"]
    log.say("log", "third")
    log.close()
    assert texts(step) == ["first", "second [redacted]", "third"]


def test_a_step_that_says_a_million_lines_fills_neither_memory_nor_the_database(step: StepRun) -> None:
    log = StepLog(step.pk, 2, Redactor(["hunter22"]))
    block = "\n".join(["a line with hunter22"] * 1_000)
    for _ in range(1_000):
        log.say("stdout", block)
        assert len(log._waiting) <= MOST_LINES + 1
    log.close()
    kept = texts(step)
    assert len(kept) == MOST_LINES + 2
    artifact = Artifact.objects.get()
    assert (artifact.step, artifact.run, artifact.attempt) == (step, step.run, 2)
    assert logs.MOST_REST <= artifact.size < logs.MOST_REST + 1_000
    content = get(artifact.sha256)
    assert b"hunter22" not in content
    in_file = content.count(b"\n")
    assert f"{in_file} more lines (16.8 MB) stand in the file log-of-attempt-2.txt." in kept[-1]
    assert f"Another {1_000_000 - MOST_LINES - in_file} lines, beyond 16 MiB, were left out." in kept[-1]


def test_a_long_line_is_cut_in_its_row_and_whole_in_the_file(step: StepRun) -> None:
    log = StepLog(step.pk, 1, Redactor([]))
    log.say("stderr", "x" * 10_000)
    log.close()
    assert texts(step)[0] == "x" * 4_000 + "…"
    assert b" stderr " + b"x" * 10_000 in get(Artifact.objects.get().sha256)


def test_after_a_long_line_the_log_is_followed_on(step: StepRun) -> None:
    log = StepLog(step.pk, 1, Redactor([]))
    log.say("stdout", "x" * 10_000 + "\nafter it")
    log.flush()
    assert texts(step)[1:] == ["after it"]
    log.close()
    assert b"after it" not in get(Artifact.objects.get().sha256)


def test_whoever_follows_a_log_is_told_at_once_when_it_goes_over_to_the_file(step: StepRun) -> None:
    log = StepLog(step.pk, 1, Redactor([]))
    log.say("stdout", "\n".join(["line"] * MOST_LINES))
    log.flush()
    assert texts(step)[-1] == "line"
    log.say("stdout", "one more\nand one more")
    log.flush()
    assert texts(step)[MOST_LINES:] == [
        "What follows goes into the file log-of-attempt-1.txt, which can be read when the step has ended."
    ]
    log.close()
    content = get(Artifact.objects.get().sha256)
    assert b"one more" in content
    assert b"What follows" not in content


def test_a_full_disk_costs_the_rest_of_the_log_and_nothing_else(
    step: StepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_content: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "put_file", full)
    log = StepLog(step.pk, 1, Redactor([]))
    log.say("stdout", "\n".join(["line"] * (MOST_LINES + 3)))
    log.close()
    assert texts(step)[-1] == "3 more lines could not be kept: No space left on device."
    assert not Artifact.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_for_a_moment_costs_no_line(
    step: StepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StepLog(step.pk, 1, Redactor([]))
    log.say("log", "first")
    with monkeypatch.context() as away:

        def fail(_log: StepLog, _lines: list[LogLine]) -> None:
            raise OperationalError("gone")

        away.setattr(StepLog, "_write", fail)
        with pytest.raises(OperationalError):
            log.flush()
        log.close()
    log.say("log", "second")
    log.flush()
    assert texts(step) == ["first", "second"]


def test_a_line_of_a_program_is_one_line_however_it_arrives_and_its_secrets_are_hidden_across_chunks() -> (
    None
):
    heard: list[tuple[str, str]] = []

    class Context:
        redactor = Redactor(["correct-horse"])

        def log(self, stream: str, text: str) -> None:
            heard.append((stream, text))

    listener = Listener("stdout", Context())  # type: ignore[arg-type]
    for chunk in (b"one correct-", b"horse two\nthr", b"ee\n", b"four"):
        listener.hear(chunk)
    listener.end()
    assert [line for _, text in heard for line in text.splitlines()] == [
        "one [redacted] two",
        "three",
        "four",
    ]


def test_no_row_holds_more_than_sixteen_kilobytes(stage: Stage, calls: type[Scripted]) -> None:
    large = "y" * (4 * LARGEST_IN_ROW)
    calls.script = {
        "a": [Success({"text": large})],
        "b": [Failure("broken", "it broke", outputs={"stderr": large})],
    }
    steps = f"""
- {{id: a, uses: test.call, with: {{big: "{large}"}}}}
- {{id: b, uses: test.call, with: {{given: "${{{{ steps.a.outputs.text }}}}"}}}}
"""
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert calls.calls[1][1]["given"] == large
    held: list[object] = [run.error, run.outcome]
    held += list(RunEvent.objects.values_list("data", flat=True))
    held += list(StepAttempt.objects.values_list("error", flat=True))
    held += [value for row in StepRun.objects.values_list("inputs", "outputs", "error") for value in row]
    assert max(len(json.dumps(value)) for value in held) < LARGEST_IN_ROW


def test_a_large_value_is_begun_on_the_page_and_whole_in_its_download(
    stage: Stage, calls: type[Scripted]
) -> None:
    large = "<b>" + "y" * (4 * LARGEST_IN_ROW)
    calls.script = {"a": [Success({"text": large})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    client = Client()
    client.force_login(factories.person(roles={stage.project: "viewer"}))
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "These are the first 16,384 of" in page
    where = f"/runs/{run.pk}/steps/{StepRun.objects.get().pk}/outputs.json"
    assert where in page
    got = client.get(where)
    assert json.loads(got.content) == {"text": large}
    assert got["Content-Disposition"].startswith("attachment")
    assert got["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in got["Content-Security-Policy"]


def test_a_file_is_listed_and_downloaded_and_a_missing_one_is_said(step: StepRun, tmp_path: Path) -> None:
    kept = factories.artifact(step, b"the rest\n")
    client = Client()
    client.force_login(factories.person(roles={step.run.project: "viewer"}))
    assert "log-of-attempt-1.txt" in client.get(f"/runs/{step.run_id}/steps/{step.pk}/").content.decode()
    got = client.get(f"/runs/{step.run_id}/files/{kept.pk}/")
    assert b"".join(got) == b"the rest\n"
    assert got["Content-Type"] == "text/plain; charset=utf-8"
    assert got["Content-Disposition"].startswith("attachment")
    listed = client.get(f"/api/v1/runs/{step.run_id}/artifacts/").json()["results"]
    assert b"".join(client.get(listed[0]["content"])) == b"the rest\n"
    (tmp_path / "artifacts" / kept.sha256[:2] / kept.sha256).unlink()
    for where in (f"/runs/{step.run_id}/files/{kept.pk}/", listed[0]["content"]):
        missing = client.get(where)
        assert missing.status_code == 503
        assert "artifact folder" in missing.content.decode()


def test_a_run_whose_values_are_elsewhere_is_left_to_others(
    stage: Stage, calls: type[Scripted], tmp_path: Path
) -> None:
    calls.script = {"a": [Success({"text": "y" * (2 * LARGEST_IN_ROW)})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}\n- {id: b, uses: test.call}"))
    stage.driver._stopping = lambda: bool(calls.calls)
    stage.driver.drive(ready_steps(run)[0])
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(Unreadable, match="artifact folder"):
        load(run.pk)
    assert Run.objects.get().state == "running"
