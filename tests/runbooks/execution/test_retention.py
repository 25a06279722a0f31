"""What is bulky goes after its days, in batches, on the record; what somebody may still need stays."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.test import Client

from handrail.alerts.actions import retry_delivery
from handrail.alerts.models import Alert, Delivery
from handrail.audit.models import AuditEntry
from handrail.incidents.models import Incident, Postmortem
from handrail.letters.models import DeadLetter
from handrail.shared.artifacts import LARGEST_IN_ROW, put
from handrail.shared.clock import now
from handrail.shared.errors import Conflict
from handrail.shared.retention import Removed
from runbooks import resuming
from runbooks.execution.live import Unreadable, load
from runbooks.models import Artifact, LogLine, Run, RunEvent, StepRun
from runbooks.retention import deliveries, logs, values
from runbooks.steps.base import Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage

pytestmark = pytest.mark.django_db

OLD = timedelta(days=400)
LARGE = {"text": "y" * (2 * LARGEST_IN_ROW)}


@pytest.fixture(autouse=True)
def _home(settings: LazySettings, tmp_path: Path) -> None:
    settings.ARTIFACT_STORAGE = str(tmp_path / "artifacts")
    settings.STORAGES = {**settings.STORAGES}  # made anew


def ended_run(age: timedelta = OLD, **fields: Any) -> Run:
    """A run that ended so long ago, of one step that said two lines and left a file."""
    at = now() - age
    book = factories.runbook(factories.project())
    run = factories.run(book, **{"state": "succeeded", "is_open": False, "ended_at": at, **fields})
    step = factories.step(run, state="succeeded", created_at=at, started_at=at, ended_at=at)
    for n in (1, 2):
        LogLine.objects.create(step=step, n=n, attempt=1, at=at, text=f"line {n}")
    factories.artifact(step)
    return run


def lines_of(run: Run) -> int:
    return LogLine.objects.filter(step__run=run).count()


def entries(what: str) -> list[dict[str, Any]]:
    found = AuditEntry.objects.filter(action=f"retention.{what}_removed").order_by("n")
    return list(found.values_list("data", flat=True))


def viewer(of: Run | Alert, role: str = "viewer") -> Client:
    client = Client()
    client.force_login(factories.person(roles={of.project: role}))
    return client


# --- logs ------------------------------------------------------------------------------------


def test_the_log_of_a_run_goes_after_its_days_and_is_one_entry_on_the_trail() -> None:
    old, young = ended_run(timedelta(days=91)), ended_run(timedelta(days=89))
    logs.remove_logs()
    assert (lines_of(old), lines_of(young)) == (0, 2)
    assert Artifact.objects.get(run=old).removed_at is not None
    assert Artifact.objects.get(run=young).removed_at is None
    told = {"days": 90, "lines": 2, "files": 1, "bytes": 7, "runs": [str(old.pk)]}
    assert entries("logs") == [told]
    logs.remove_logs()
    assert entries("logs") == [told]


def test_zero_days_are_for_ever(settings: LazySettings) -> None:
    settings.KEEP_LOGS_DAYS = settings.KEEP_ARTIFACTS_DAYS = settings.KEEP_DELIVERIES_DAYS = 0
    run, sent = ended_run(), old_delivery()
    for duty in (logs.remove_logs, values.remove_values, deliveries.remove_bodies):
        duty()
    run.refresh_from_db()
    sent.refresh_from_db()
    assert (lines_of(run), run.values_over_at, bytes(sent.body)) == (2, None, b'{"a": 1}')


def test_a_run_that_said_nothing_is_no_news_and_is_not_looked_at_again() -> None:
    run = ended_run()
    LogLine.objects.all().delete()
    Artifact.objects.all().delete()
    logs.remove_logs()
    run.refresh_from_db()
    assert (run.removed, entries("logs")) == ({}, [])
    assert run.log_over_at is not None


def test_a_long_log_goes_in_several_transactions_and_is_marked_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ended_run()
    step = StepRun.objects.get()
    LogLine.objects.bulk_create(
        LogLine(step=step, n=n, attempt=1, at=now(), text="more") for n in range(3, 10)
    )
    monkeypatch.setattr(logs, "LINES", 4)
    assert logs._batch()
    run.refresh_from_db()
    assert (lines_of(run), "log" in run.removed, run.log_over_at) == (5, True, None)
    logs.remove_logs()
    assert [told["lines"] for told in entries("logs")] == [4, 4, 1]
    assert lines_of(run) == 0


def an_incident(status: str, postmortem: str = "", **fields: Any) -> Incident:
    made = factories.incident(factories.project(), status=status, is_open=False, **fields)
    if postmortem:
        Postmortem.objects.create(incident=made, status=postmortem, generated_at=now())
    return made


KEPT: dict[str, Callable[[], dict[str, Any]]] = {
    "it goes on": lambda: {"is_open": True, "state": "paused"},
    "its incident is open": lambda: {"incident": an_incident("mitigated")},
    "its incident is not closed": lambda: {"incident": an_incident("resolved", "published")},
    "a draft": lambda: {"incident": an_incident("closed", "draft")},
    "a postmortem in review": lambda: {"incident": an_incident("closed", "in_review")},
    "one that was amended": lambda: {"incident": an_incident("closed", "amended")},
    "a draft that is due": lambda: {"incident": an_incident("closed", draft_due_at=now())},
    "merged into one that goes on": lambda: {
        "incident": an_incident(
            "merged", merged_into=an_incident("merged", merged_into=an_incident("resolved"))
        )
    },
    "the run that started it goes on": lambda: {
        "parent_step": factories.step(factories.run(factories.runbook(factories.project())))
    },
}


@pytest.mark.parametrize("why", KEPT)
def test_nothing_goes_of_a_run_that_is_still_told_about(why: str) -> None:
    run = ended_run(**KEPT[why]())
    logs.remove_logs()
    values.remove_values()
    run.refresh_from_db()
    assert (lines_of(run), run.removed, run.log_over_at, run.values_over_at) == (2, {}, None, None)


def test_nothing_goes_of_a_run_with_an_open_dead_letter() -> None:
    run = ended_run()
    letter = factories.dead_letter(run.project, kind=DeadLetter.Kind.STEP, run_id=run.pk)
    logs.remove_logs()
    assert lines_of(run) == 2
    DeadLetter.objects.filter(pk=letter.pk).update(state=DeadLetter.State.DISCARDED)
    logs.remove_logs()
    assert lines_of(run) == 0


@pytest.mark.parametrize(
    "told",
    [
        lambda: an_incident("closed"),
        lambda: an_incident("cancelled"),
        lambda: an_incident("closed", "published"),
        lambda: an_incident("merged", merged_into=an_incident("closed", "published")),
    ],
)
def test_what_belongs_to_an_incident_that_is_told_to_the_end_goes(told: Callable[[], Incident]) -> None:
    run = ended_run(incident=told())
    logs.remove_logs()
    assert lines_of(run) == 0


def test_page_api_and_download_say_that_a_log_is_gone() -> None:
    run = ended_run()
    step, file = StepRun.objects.get(), Artifact.objects.get()
    StepRun.objects.update(action="noop")
    logs.remove_logs()
    today, client = f"{now():%Y-%m-%d}", viewer(run)
    words = f"was removed on {today} by retention of 90 days."
    page = client.get(f"/runs/{run.pk}/steps/{step.pk}/").content.decode()
    assert f"Its log {words}" in page
    assert f"The file log-of-attempt-1.txt {words}" in page
    assert "It has said nothing" not in page
    download = client.get(f"/runs/{run.pk}/files/{file.pk}/")
    assert download.status_code == 410
    assert words in download.content.decode()
    api = f"/api/v1/runs/{run.pk}/"
    for where in (f"steps/{step.pk}/log/", f"artifacts/{file.pk}/content/"):
        answer = client.get(api + where)
        assert answer.status_code == 410
        assert answer.json()["code"] == "removed"
        assert words in json.dumps(answer.json())
    assert client.get(f"{api}artifacts/").json()["results"][0]["removed_at"].startswith(today)
    assert client.get(api).json()["removed"]["log"]["days"] == 90


def test_a_run_that_was_resumed_after_its_log_went_has_a_log_again(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"a": [Failure("broken", "It is broken."), Success({})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    LogLine.objects.create(step=StepRun.objects.get(), n=1, attempt=1, at=now(), text="first")
    Run.objects.update(ended_at=now() - OLD)
    logs.remove_logs()
    values.remove_values()
    assert lines_of(run) == 0
    resuming.resume(run.pk, actor=stage.actor, reason="It is mended.")
    run.refresh_from_db()
    assert (run.log_over_at, run.values_over_at) == (None, None)
    LogLine.objects.create(step=StepRun.objects.get(), n=2, attempt=2, at=now(), text="second")
    client = viewer(run)
    where = f"/api/v1/runs/{run.pk}/steps/{StepRun.objects.get().pk}/log/"
    assert [line["text"] for line in client.get(where).json()["results"]] == ["second"]
    stage.drive(run)
    Run.objects.update(ended_at=now() - OLD)
    logs.remove_logs()
    assert lines_of(run) == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_another_sweeper_takes_what_is_not_locked() -> None:
    locked, free = ended_run(), ended_run()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=locked.pk)
            held.set()
            done.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    logs.remove_logs()
    assert (lines_of(locked), lines_of(free)) == (2, 0)
    done.set()
    thread.join()
    logs.remove_logs()
    assert lines_of(locked) == 0


# --- large values ----------------------------------------------------------------------------


def test_large_values_are_marked_and_said_to_be_gone_and_the_history_is_as_it_was(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"a": [Success(LARGE)], "b": [Failure("broken", "It is broken.")]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}\n- {id: b, uses: test.call}"))
    stage.drive(run)
    history = list(RunEvent.objects.values_list("data", "hash"))
    Run.objects.update(ended_at=now() - OLD)
    values.remove_values()
    values.remove_values()
    assert list(RunEvent.objects.values_list("data", "hash")) == history
    [told] = entries("values")
    assert (told["days"], told["values"], told["runs"]) == (365, 1, [str(run.pk)])
    assert told["bytes"] > 2 * LARGEST_IN_ROW

    words = f"was removed on {now():%Y-%m-%d} by retention of 365 days."
    step, client = StepRun.objects.get(node="a"), viewer(run)
    assert f"This value {words}" in client.get(f"/runs/{run.pk}/steps/{step.pk}/").content.decode()
    whole = client.get(f"/runs/{run.pk}/steps/{step.pk}/outputs.json")
    assert whole.status_code == 410
    assert words in whole.content.decode()
    assert client.get(f"/api/v1/runs/{run.pk}/").json()["removed"]["values"]["days"] == 365


def test_a_run_without_its_values_is_not_resumed_and_says_why(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"a": [Success(LARGE)], "b": [Failure("broken", "It is broken.")]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}\n- {id: b, uses: test.call}"))
    stage.drive(run)
    Run.objects.update(ended_at=now() - OLD)
    values.remove_values()
    with pytest.raises(Unreadable, match="by retention of 365 days"):
        load(run.pk)
    with pytest.raises(Conflict, match="The run can be read, but not acted on"):
        resuming.resume(run.pk, actor=stage.actor, reason="Try")
    preview = resuming.preview_resume(run.pk, stage.actor)
    assert "by retention of 365 days" in preview.refusal
    page = viewer(run, "responder").get(f"/runs/{run.pk}/")
    assert page.status_code == 200
    assert "by retention of 365 days" in page.content.decode()


# --- deliveries ------------------------------------------------------------------------------


def old_delivery(age: timedelta = OLD, **fields: Any) -> Delivery:
    of = fields.pop("of", None) or factories.source(factories.project())
    made = factories.delivery(of, b'{"a": 1}', **{"verdict": "processed", **fields})
    moment: datetime = now() - age
    Delivery.objects.filter(pk=made.pk).update(received_at=moment, last_seen_at=moment)
    return made


def is_kept(made: Delivery) -> bool:
    made.refresh_from_db()
    return bytes(made.body) != b""


def alert_of(made: Delivery, **fields: Any) -> Alert:
    return factories.alert(
        made.source.project, made.source, **{"is_open": False, "first_delivery": made, **fields}
    )


def test_the_body_of_a_delivery_goes_after_its_days_and_the_rest_stays() -> None:
    old, young, seen_again = old_delivery(), old_delivery(timedelta(days=89)), old_delivery()
    Delivery.objects.filter(pk=seen_again.pk).update(last_seen_at=now())
    digest = old.body_sha256
    deliveries.remove_bodies()
    assert [is_kept(each) for each in (old, young, seen_again)] == [False, True, True]
    assert (old.body_sha256, old.body_kept_days) == (digest, 90)
    assert entries("bodies") == [{"days": 90, "deliveries": [str(old.pk)]}]


def test_the_body_stays_while_its_alert_its_incident_or_a_run_goes_on() -> None:
    of_open = old_delivery()
    alert_of(of_open, is_open=True)
    of_untold = old_delivery()
    factories.incident(
        of_untold.source.project, alert_of(of_untold, first_delivery=None, last_delivery=of_untold),
        status="resolved", is_open=False,
    )  # fmt: skip
    of_running = old_delivery()
    factories.run(factories.runbook(of_running.source.project), alert=alert_of(of_running))
    waiting = old_delivery(verdict="received")
    dead = old_delivery(verdict="dead")
    factories.dead_letter(dead.source.project, ref=dead.pk)
    of_told = old_delivery()
    factories.incident(of_told.source.project, alert_of(of_told), status="closed", is_open=False)
    deliveries.remove_bodies()
    kept = [is_kept(each) for each in (of_open, of_untold, of_running, waiting, dead, of_told)]
    assert kept == [True] * 5 + [False]


def test_the_page_of_an_alert_says_that_a_body_is_gone() -> None:
    sent = old_delivery()
    alert = alert_of(sent)
    deliveries.remove_bodies()
    client, today = viewer(alert, "operator"), f"{now():%Y-%m-%d}"
    page = client.get(f"/alerts/{alert.pk}/").content.decode()
    assert f"The body was removed on {today} by retention of 90 days." in page
    [listed] = client.get("/api/v1/deliveries/").json()["results"]
    assert listed["body_removed_at"].startswith(today)


def test_a_discarded_letter_whose_body_is_gone_is_not_read_again_and_says_so() -> None:
    sent = old_delivery(verdict="dead")
    letter = factories.dead_letter(sent.source.project, ref=sent.pk, state="discarded")
    deliveries.remove_bodies()
    sent.refresh_from_db()
    operator = factories.person(roles={sent.source.project: "operator"})
    with pytest.raises(Removed, match="It cannot be read again"):
        retry_delivery(sent, actor=factories.actor(operator))
    client = Client()
    client.force_login(operator)
    assert "by retention of 90 days" in client.get(f"/dead-letters/{letter.pk}/").content.decode()


def test_many_deliveries_are_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    of = factories.source(factories.project())
    sent = [old_delivery(of=of) for _ in range(5)]
    monkeypatch.setattr(deliveries, "DELIVERIES", 2)
    assert deliveries.remove_bodies() == 3
    assert not any(map(is_kept, sent))
    assert [len(told["deliveries"]) for told in entries("bodies")] == [2, 2, 1]


def test_no_file_goes_with_its_row() -> None:
    digest = put(b"a line\n")
    run = ended_run()
    logs.remove_logs()
    assert Artifact.objects.get(run=run).sha256 == digest
    assert put(b"a line\n") == digest
