"""Files that no row names go after a day of grace, and none that any row names, or is about to name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection

from handrail.audit.models import AuditEntry
from handrail.shared import artifacts
from handrail.shared.artifacts import GRACE, LARGEST_IN_ROW, ArtifactMissing, get, put
from handrail.shared.clock import now
from handrail.shared.references import has_reference, references_in
from runbooks.models import Artifact, Run, RunEvent, StepAttempt, StepRun
from runbooks.retention import files, logs, values
from runbooks.retention.references import PLACES, named
from runbooks.steps.base import Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage
from tests.runbooks.execution.test_artifact_store import bucket, kept, server

__all__ = ["bucket", "kept", "server"]

pytestmark = pytest.mark.django_db

OLD = timedelta(days=400)


@pytest.fixture
def folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.ARTIFACT_STORAGE = str(tmp_path / "kept")
    settings.STORAGES = {**settings.STORAGES}  # made anew
    return tmp_path / "kept"


@pytest.fixture
def days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the duty, two days have passed."""
    monkeypatch.setattr(files, "earliest_now", lambda: now() + timedelta(days=2))


def is_there(digest: str) -> bool:
    try:
        get(digest)
    except ArtifactMissing:
        return False
    return True


def age(folder: Path, digest: str, hours: float) -> Path:
    path = folder / digest[:2] / digest
    moment = now().timestamp() - hours * 3600
    os.utime(path, (moment, moment))
    return path


def entries() -> list[dict[str, Any]]:
    return list(AuditEntry.objects.filter(action="retention.files_removed").values_list("data", flat=True))


def a_step() -> StepRun:
    return factories.step(factories.run(factories.runbook(factories.project())))


# --- either store ----------------------------------------------------------------------------


@pytest.mark.usefixtures("kept", "days_later")
def test_a_file_that_no_row_names_goes_and_one_that_a_row_names_stays() -> None:
    orphan, needed = put(b"left by a crash"), factories.artifact(a_step()).sha256
    assert files.remove_unnamed() == 1
    assert (is_there(orphan), is_there(needed)) == (False, True)
    assert entries() == [
        {"grace_hours": 24.0, "bytes": 15, "files": [f"{orphan[:2]}/{orphan}"]},
    ]
    assert files.remove_unnamed() == 0
    assert len(entries()) == 1


@pytest.mark.usefixtures("kept")
def test_a_young_file_is_left_alone() -> None:
    digest = put(b"its row has not committed yet")
    assert files.remove_unnamed() == 0
    assert is_there(digest)
    assert entries() == []


@pytest.mark.usefixtures("kept", "days_later")
def test_what_is_kept_again_between_choice_and_removal_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = put(b"the result")
    tell = files.tell

    def tell_and_commit(what: str, data: Any) -> None:
        tell(what, data)
        factories.artifact(a_step(), b"the result")

    monkeypatch.setattr(files, "tell", tell_and_commit)
    assert files.remove_unnamed() == 0
    assert is_there(digest)


@pytest.mark.usefixtures("days_later")
def test_the_same_on_a_bucket_that_holds_other_things_too(bucket: Any) -> None:
    bucket.put_object(Key="production/notes.txt", Body=b"not ours")
    bucket.put_object(Key="elsewhere/ab/" + "ab" * 32, Body=b"not ours")
    digest = put(b"ours")
    assert files.remove_unnamed() == 1
    left = {found.key for found in bucket.objects.all()}
    assert left == {"production/notes.txt", "elsewhere/ab/" + "ab" * 32}
    assert not is_there(digest)


# --- the folder, whose times a test can set ----------------------------------------------------


def test_keeping_the_same_again_makes_an_ageing_file_young(folder: Path) -> None:
    digest = put(b"the result")
    path = age(folder, digest, 11)
    before = path.stat().st_mtime
    put(b"the result")
    assert path.stat().st_mtime == before
    age(folder, digest, 30)
    put(b"the result")
    assert now().timestamp() - path.stat().st_mtime < 60
    assert files.remove_unnamed() == 0
    assert is_there(digest)


def test_a_file_that_was_written_again_after_it_was_chosen_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(b"the result")
    age(folder, digest, 30)
    tell = files.tell

    def tell_and_write(what: str, data: Any) -> None:
        tell(what, data)
        put(b"the result")

    monkeypatch.setattr(files, "tell", tell_and_write)
    assert files.remove_unnamed() == 0
    assert is_there(digest)


def test_what_somebody_writes_again_just_now_is_left_to_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(b"the result")
    age(folder, digest, 30)
    monkeypatch.setattr(artifacts, "lock_if_free", lambda _: False)
    assert files.remove_unnamed() == 0
    assert is_there(digest)


def test_the_part_that_a_killed_process_left_goes_and_strange_files_stay(folder: Path) -> None:
    digest = put(b"the result")
    part, strange = folder / digest[:2] / "tmpab12_xyz", folder / digest[:2] / "notes.txt"
    for path in (part, strange, folder / "README"):
        path.write_bytes(b"half")
        moment = now().timestamp() - 2 * GRACE.total_seconds()
        os.utime(path, (moment, moment))
    assert files.remove_unnamed() == 1
    assert (part.exists(), strange.exists(), (folder / "README").exists()) == (False, True, True)


@pytest.mark.usefixtures("days_later", "folder")
def test_an_installation_that_keeps_all_for_ever_touches_no_file(settings: LazySettings) -> None:
    digest = put(b"the result")
    settings.KEEP_LOGS_DAYS = settings.KEEP_ARTIFACTS_DAYS = 0
    assert files.remove_unnamed() == 0
    assert is_there(digest)


@pytest.mark.usefixtures("folder")
def test_a_database_whose_clock_is_days_ahead_removes_nothing_young(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = put(b"its row has not committed yet")
    monkeypatch.setattr(artifacts, "database_now", lambda: now() + timedelta(days=3))
    assert files.remove_unnamed() == 0
    assert is_there(digest)


@pytest.mark.usefixtures("days_later")
def test_many_files_are_several_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        put(b"orphan %d" % n)
    monkeypatch.setattr(files, "FILES", 2)
    assert files.remove_unnamed() == 5
    assert sorted(len(told["files"]) for told in entries()) == [1, 2, 2]
    assert not [path for path in folder.rglob("*") if path.is_file()]


# --- which rows name a file --------------------------------------------------------------------


def _event(step: StepRun, value: Any) -> None:
    RunEvent.objects.create(
        run=step.run, n=1, type="step.succeeded", data=value, at=now(), previous_hash="", hash=""
    )


def _step(name: str) -> Callable[[StepRun, Any], None]:
    return lambda step, value: StepRun.objects.filter(pk=step.pk).update(**{name: value}) and None


WRITERS: dict[tuple[Any, str], Callable[[StepRun, Any], None]] = {
    (RunEvent, "data"): _event,
    (StepRun, "inputs"): _step("inputs"),
    (StepRun, "outputs"): _step("outputs"),
    (StepRun, "error"): _step("error"),
    (StepAttempt, "error"): lambda step, value: (
        StepAttempt.objects.create(step=step, fence=1, number=1, worker="w", started_at=now(), error=value)
        and None
    ),
    (Run, "error"): lambda step, value: Run.objects.filter(pk=step.run_id).update(error=value) and None,
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.model.__name__}.{place.column}")
@pytest.mark.parametrize("deep", [False, True])
def test_every_column_that_may_name_a_file_keeps_it(place: Any, deep: bool) -> None:
    digest, other = "ab" * 32, "cd" * 32
    reference: Any = {"$artifact": digest, "size": 5, "media_type": "application/json"}
    step = a_step()
    WRITERS[place.model, place.column](step, {"outputs": [{"x": reference}]} if deep else reference)
    assert named([digest, other]) == {digest}
    Run.objects.update(values_over_at=now())
    assert named([digest, other]) == set()


def test_every_column_of_json_in_which_a_reference_was_found_is_known(
    stage: Stage, calls: type[Scripted], folder: Path
) -> None:
    calls.script = {"a": [Success({"text": "y" * (2 * LARGEST_IN_ROW)})]}
    stage.drive(stage.start(stage.publish("- {id: a, uses: test.call}")))
    known = {(place.model, place.column) for place in PLACES}
    for model in (Run, StepRun, StepAttempt, RunEvent):
        for row in model.objects.all():
            for field in model._meta.fields:
                held = getattr(row, field.attname)
                if "$artifact" in json.dumps(held, default=str):
                    assert (model, field.column) in known


def test_a_value_that_two_runs_share_stays_until_both_are_old(
    stage: Stage, calls: type[Scripted], folder: Path
) -> None:
    large = {"text": "y" * (2 * LARGEST_IN_ROW)}
    calls.script = {"a": [Success(large), Success(large)]}
    book = stage.publish("- {id: a, uses: test.call}")
    first, second = stage.start(book), stage.start(book)
    stage.drive(first)
    stage.drive(second)
    [path] = [found for found in folder.rglob("*") if found.is_file()]
    age(folder, path.name, 48)
    Run.objects.filter(pk=first.pk).update(ended_at=now() - OLD)
    values.remove_values()
    assert files.remove_unnamed() == 0
    Run.objects.filter(pk=second.pk).update(ended_at=now() - OLD)
    values.remove_values()
    assert files.remove_unnamed() == 1
    assert not path.exists()


def test_a_log_file_goes_once_its_row_is_marked(folder: Path) -> None:
    step = a_step()
    digest = factories.artifact(step).sha256
    age(folder, digest, 48)
    assert files.remove_unnamed() == 0
    Run.objects.update(is_open=False, state="succeeded", ended_at=now() - OLD)
    logs.remove_logs()
    assert files.remove_unnamed() == 1
    assert Artifact.objects.get().sha256 == digest


@pytest.mark.skipif(connection.vendor == "sqlite", reason="PostgreSQL's indexes find a digest")
@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.model.__name__}.{place.column}")
def test_postgresql_finds_who_names_a_digest_by_an_index(place: Any) -> None:
    table, column = place.model._meta.db_table, place.column
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        text = ["EXPLAIN SELECT 1 FROM", table, "t WHERE", has_reference("postgresql", f"t.{column}")]
        text += ["AND", references_in(f"t.{column}"), "?| %s"]
        cursor.execute(" ".join(text), [["ab" * 32]])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    [index] = [
        each for each in place.model._meta.indexes if each.name.endswith("_refs") and each.fields == [column]
    ]
    assert index.name in plan
