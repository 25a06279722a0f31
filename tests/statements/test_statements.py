"""Statements written by hand do what the ORM's would have done, on whichever database this is."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project, User
from handrail.alerts.models import Source as AlertSource
from handrail.audit.actions import record
from handrail.audit.models import AuditEntry, AuditHead
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import database_now
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.reading import columns, fetch
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import Batch, Lost, insert, insert_once
from handrail.shared.wakeups import before_others, wake
from runbooks.models import StepRun
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def a_message(key: str = "one", **more: Any) -> OutboxMessage:
    values = {"channel": "slack", "kind": "post", "payload": {"text": "ö \N{SNOWMAN} '\"%s"}, **more}
    return OutboxMessage(dedupe_key=key, due_at=database_now(), **values)


def row(instance: Model) -> Model:
    """Its row, read by hand."""
    of = columns(type(instance))
    text = ["SELECT", of.of("it"), "FROM", table(type(instance)), "AS it WHERE it.id = %s"]
    return of.instance(fetch(" ".join(text), [instance.pk])[0])


def as_dict(instance: Model) -> dict[str, object]:
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.concrete_fields}


def test_what_is_inserted_by_hand_is_what_the_orm_reads_and_the_other_way_round() -> None:
    by_hand, by_orm = a_message("hand", priority=2), a_message("orm", last_error="it's 100 %")
    with transaction.atomic():
        insert(by_hand)
        by_orm.save(force_insert=True)
    assert not by_hand._state.adding
    for message in (by_hand, by_orm):
        assert as_dict(row(message)) == as_dict(OutboxMessage.objects.get(pk=message.pk)) == as_dict(message)
    by_hand.kind = "update"
    by_hand.save()
    assert OutboxMessage.objects.get(pk=by_hand.pk).kind == "update"


def test_what_is_there_already_is_not_inserted_again_and_nothing_is_broken() -> None:
    with transaction.atomic():
        assert insert_once(a_message("same", priority=1))
        assert not insert_once(a_message("same", priority=9))
        assert insert_once(a_message("other"))
    assert OutboxMessage.objects.get(dedupe_key="same").priority == 1
    assert OutboxMessage.objects.count() == 2


def test_what_the_database_forbids_is_said_as_the_orm_says_it() -> None:
    broken = a_message("none")
    broken.due_at = None  # type: ignore[assignment]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(broken)
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_once(broken)


def test_rows_with_other_columns_are_not_inserted_together() -> None:
    with pytest.raises(ValueError, match="same columns"):
        Batch().insert(StepRun, [{"id": uuid.uuid4(), "node": "a"}, {"id": uuid.uuid4(), "slot": ""}])


def test_an_update_goes_by_the_primary_key_whatever_it_is_called() -> None:
    AuditHead.objects.create(chain="x", n=1)
    with transaction.atomic():
        batch = Batch()
        batch.update(AuditHead, "x", {"n": 7}, guarded=True)
        batch.execute()
    assert AuditHead.objects.get(pk="x").n == 7
    batch = Batch()
    batch.update(AuditHead, "nobody", {"n": 8}, guarded=True)
    with pytest.raises(Lost), transaction.atomic():
        batch.execute()


def test_a_compiled_query_is_compiled_once_and_asks_about_any_ids() -> None:
    built: list[uuid.UUID] = []

    def of(user_id: uuid.UUID, other: uuid.UUID) -> Any:
        built.append(user_id)
        rows = User.objects.order_by("username").filter(is_active=True)
        return rows.filter(pk__in=[user_id, other]).values_list("username")

    ada, bob, eve = (User.objects.create(username=name, name=name) for name in ("ada", "bob", "eve"))
    question = Compiled(of)
    assert question.rows(ada.pk, bob.pk) == [("ada",), ("bob",)]
    assert question.rows(eve.pk, uuid.uuid4()) == [("eve",)]
    assert len(built) == 1


def test_what_a_compiled_query_gives_is_what_the_orm_gives(project: Project) -> None:
    moment = database_now()
    source = AlertSource.objects.create(
        project=project, kind="generic", name="prod", key_digest="d" * 64, run_as=factories.person()
    )

    def of(name: str, since: datetime) -> Any:
        rows = AlertSource.objects.filter(name=name, created_at__gt=since, project__slug="shop")
        return rows.select_related("project", "run_as").order_by("pk")[:1]

    question = Compiled(of)
    for name, since in (
        ("prod", moment - timedelta(days=1)),
        ("prod", moment + timedelta(days=1)),
        ("x", moment),
    ):
        assert question.all(name, since) == list(of(name, since))
    found = question.first("prod", moment - timedelta(days=1))
    assert found is not None
    assert as_dict(found) == as_dict(AlertSource.objects.get(pk=source.pk))
    with CaptureQueriesContext(connection) as captured:
        assert found.project.slug == "shop"
        assert found.run_as.is_active
    assert not captured.captured_queries
    plain = Compiled(
        lambda of: AlertSource.objects.order_by().filter(project=of).values_list("settings", flat=True)
    )
    assert plain.all(project.pk) == [source.settings]


def test_a_compiled_query_serves_every_thread(project: Project) -> None:
    question = Compiled(lambda slug: Project.objects.filter(slug=slug))
    found: list[Project | None] = [question.first("shop")]

    def ask() -> None:
        found.append(question.first("shop"))
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(60)
    assert found == [project, project]


def test_rows_are_locked_inside_of_a_transaction_only(project: Project) -> None:
    question = Compiled(lambda slug: Project.objects.select_for_update().filter(slug=slug))
    with transaction.atomic():
        assert question.first("shop") == project
    with pytest.raises(TransactionManagementError, match="inside of a transaction"):
        question.first("shop")


def test_a_value_that_does_not_stay_as_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match="as they are"):
        Compiled(lambda name: User.objects.filter(username__startswith=name)).all("ad")
    with pytest.raises(TypeError, match="int"):
        Compiled(lambda n: User.objects.filter(username=n)).all(7)  # type: ignore[arg-type]


def test_a_moment_survives_with_its_microseconds() -> None:
    moment = datetime(2026, 11, 29, 6, 30, 1, 123456, tzinfo=UTC)
    message = a_message("late", sent_at=moment)
    with transaction.atomic():
        insert(message)
    assert row(message).sent_at == OutboxMessage.objects.get(pk=message.pk).sent_at == moment  # type: ignore[attr-defined]


def test_the_same_hint_is_sent_once_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        "handrail.shared.wakeups.send", lambda task, *args, queue="": sent.append((task, *args, queue))
    )
    with transaction.atomic():
        wake("a")
        wake("a")
        wake("a", "id")
        _roll_back_after(lambda: wake("b"))
        wake("b")
    wake("a")
    assert sent == [("a", ""), ("a", "id", ""), ("b", ""), ("a", "")]


def test_the_hints_about_steps_leave_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr("handrail.shared.wakeups.send", lambda task, *_args, queue="": sent.append(task))
    with transaction.atomic():
        transaction.on_commit(lambda: sent.append("first of all"))
        wake("outbox")
        with transaction.atomic():
            before_others(lambda: sent.append("step"))
        wake("alerts")
        before_others(lambda: sent.append("another step"))
        _roll_back_after(lambda: before_others(lambda: sent.append("undone")))
    before_others(lambda: sent.append("at once"))
    assert sent == ["first of all", "step", "another step", "outbox", "alerts", "at once"]


def _roll_back_after(act: Callable[[], None]) -> None:
    with transaction.atomic():
        act()
        transaction.set_rollback(True)


def test_an_act_is_audited_with_few_round_trips() -> None:
    with transaction.atomic():
        record(CONSOLE, "first", User(pk=uuid.uuid4(), username="x"))
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        record(CONSOLE, "second", User(pk=uuid.uuid4(), username="y"))
    assert len(captured) == (1 if connection.vendor == "postgresql" else 3)
    assert AuditEntry.objects.filter(action__in=["first", "second"]).count() == 2
