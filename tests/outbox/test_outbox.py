"""Messages leave with the act that they tell of, in order of urgency, at the vendor's pace, and are never lost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project
from handrail.outbox import sending
from handrail.outbox.actions import enqueue
from handrail.outbox.backoff import MAX_ATTEMPTS
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxLane, OutboxMessage
from handrail.outbox.queries import backlog, dead_letters
from handrail.outbox.sending import claim, deliver, deliver_due
from handrail.outbox.tasks import deliver_overdue
from handrail.shared.clock import database_now
from tests.outbox.vendor import Vendor

pytestmark = pytest.mark.django_db(transaction=True)

State = OutboxMessage.State


def put(
    text: str, key: str = "", *, priority: int = 5, to: str = "#a", project: Project | None = None
) -> OutboxMessage:
    with transaction.atomic():
        return enqueue(
            "test", "note", key or text, {"text": text}, priority=priority, destination=to, project=project
        )


def row(message: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=message.pk)


def make_due(message: OutboxMessage) -> None:
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=database_now() - timedelta(seconds=1))


def end_lease(message: OutboxMessage) -> None:
    OutboxMessage.objects.filter(pk=message.pk).update(lease_until=database_now() - timedelta(seconds=1))


def test_a_message_leaves_once_and_is_marked(vendor: Vendor) -> None:
    message = put("hello")
    assert deliver_due() == 1
    assert deliver_due() == 0
    assert vendor.sent == ["hello"]
    assert row(message).state == State.SENT
    assert row(message).sent_at is not None


def test_the_hint_is_sent_on_commit_and_not_before(hints: list[str]) -> None:
    with transaction.atomic():
        enqueue("test", "note", "k", {"text": "x"})
        assert hints == []
    assert hints == ["outbox.deliver"]


def test_an_act_that_is_undone_sends_nothing(vendor: Vendor, hints: list[str]) -> None:
    with transaction.atomic():
        enqueue("test", "note", "k", {"text": "never"})
        transaction.set_rollback(True)
    deliver_due()
    assert vendor.sent == []
    assert hints == []


def test_a_message_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="together with the act"):
        enqueue("test", "note", "k", {"text": "x"})


def test_a_burst_of_changes_costs_one_message_with_the_newest_content(vendor: Vendor) -> None:
    for n in range(5):
        put(f"state {n}", "card")
    deliver_due()
    assert vendor.sent == ["state 4"]


def test_a_change_after_the_sending_sends_again(vendor: Vendor) -> None:
    put("old", "card")
    deliver_due()
    put("new", "card")
    deliver_due()
    assert vendor.sent == ["old", "new"]


def test_the_same_words_twice_in_one_transaction_ask_the_database_once(vendor: Vendor) -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        first = enqueue("test", "note", "card", {"text": "a"})
        asked = len(captured)
        again = enqueue("test", "note", "card", {"text": "a"})
        assert (again.pk, len(captured)) == (first.pk, asked)
        enqueue("test", "note", "card", {"text": "b"})
        enqueue("test", "note", "card", {"text": "a"})
    deliver_due()
    assert vendor.sent == ["a"]
    put("a", "card", to="")
    deliver_due()
    assert vendor.sent == ["a", "a"], "it was sent since: said again, it is sent again"


def test_what_was_undone_with_its_savepoint_is_said_anew(vendor: Vendor) -> None:
    with transaction.atomic():
        with transaction.atomic():
            enqueue("test", "note", "card", {"text": "a"})
            transaction.set_rollback(True)
        enqueue("test", "note", "card", {"text": "a"})
    deliver_due()
    assert vendor.sent == ["a"]


def test_one_that_waits_for_a_retry_keeps_waiting_and_gets_the_newest_content(vendor: Vendor) -> None:
    message = put("old", "card", priority=7)
    later = database_now() + timedelta(minutes=5)
    OutboxMessage.objects.filter(pk=message.pk).update(attempts=2, due_at=later, last_error="busy")
    changed = put("new", "card", priority=3)
    assert (changed.pk, changed.due_at, changed.attempts, changed.last_error) == (
        message.pk,
        later,
        2,
        "busy",
    )
    assert (changed.payload, changed.priority, changed.version) == ({"text": "new"}, 3, 2)
    assert put("newer", "card", priority=8).priority == 3


def test_a_change_while_it_is_being_sent_is_not_lost(vendor: Vendor) -> None:
    def change_it(message: OutboxMessage) -> None:
        vendor.then = lambda message: None
        put("new", "card")
        assert claim() is None, "two senders at once could leave the older text on top"

    vendor.then = change_it
    message = put("old", "card")
    deliver_due()
    assert vendor.sent == ["old", "new"]
    assert row(message).state == State.SENT


def test_the_urgent_leaves_first(vendor: Vendor) -> None:
    put("note")
    put("chatter", priority=9)
    put("approval", priority=0)
    deliver_due()
    assert vendor.sent == ["approval", "note", "chatter"]


def test_what_is_not_due_yet_waits(vendor: Vendor) -> None:
    with transaction.atomic():
        enqueue("test", "note", "k", {"text": "later"}, due_at=database_now() + timedelta(minutes=5))
    assert deliver_due() == 0


def test_a_destination_gets_one_message_a_second_and_others_do_not_wait_for_it(
    paced_vendor: Vendor,
) -> None:
    for text, to in (("a1", "#a"), ("a2", "#a"), ("b1", "#b")):
        put(text, to=to)
    deliver_due()
    assert paced_vendor.sent == ["a1", "b1"]
    OutboxLane.objects.update(free_at=database_now())
    deliver_due()
    assert paced_vendor.sent == ["a1", "b1", "a2"]


def test_the_vendors_wait_becomes_the_due_time_and_holds_the_lane(paced_vendor: Vendor) -> None:
    def refuse(message: OutboxMessage) -> None:
        raise Retry("rate limited", 30, counts=False, holds_lane=True)

    paced_vendor.then = refuse
    message = put("slow down")
    before = database_now()
    deliver_due()
    after = row(message)
    assert after.state == State.PENDING
    assert after.attempts == 0, "a rate limit is nobody's failure"
    assert before + timedelta(seconds=30) <= after.due_at
    assert OutboxLane.objects.get().free_at == after.due_at


def test_a_failure_is_tried_again_later(vendor: Vendor) -> None:
    def refuse(message: OutboxMessage) -> None:
        raise Retry("no connection")

    vendor.then = refuse
    message = put("x")
    deliver_due()
    assert row(message).due_at > database_now()
    assert row(message).last_error == "no connection"
    vendor.then = lambda message: None
    make_due(message)
    deliver_due()
    assert vendor.sent == ["x"]
    assert row(message).last_error == ""


def test_after_the_last_attempt_it_is_a_dead_letter_with_its_reason(vendor: Vendor) -> None:
    def refuse(message: OutboxMessage) -> None:
        raise Retry("no connection")

    vendor.then = refuse
    project = Project.objects.create(slug="shop", name="Shop")
    message = put("x", project=project)
    for _ in range(MAX_ATTEMPTS):
        make_due(message)
        deliver_due()
    assert row(message).state == State.DEAD
    assert row(message).last_error == "Given up after 20 attempts: no connection"
    assert list(dead_letters(Project.objects.all())) == [message]
    assert list(dead_letters(Project.objects.none())) == []
    assert backlog().dead == 1


def test_what_can_never_be_delivered_dies_at_once_and_a_new_content_revives_it(vendor: Vendor) -> None:
    def refuse(message: OutboxMessage) -> None:
        raise Undeliverable("No such channel.")

    vendor.then = refuse
    message = put("x", "card")
    deliver_due()
    assert (row(message).state, row(message).last_error) == (State.DEAD, "No such channel.")
    vendor.then = lambda message: None
    put("y", "card")
    deliver_due()
    assert vendor.sent == ["y"]


def test_a_process_that_dies_before_marking_leaves_the_message_to_be_sent_again(vendor: Vendor) -> None:
    message = put("x")
    assert claim() is not None
    assert deliver_due() == 0, "the lease protects it as long as its sender may live"
    end_lease(message)
    assert deliver_due() == 1
    assert vendor.sent == ["x"]


def test_a_sender_that_comes_back_from_the_dead_changes_nothing(vendor: Vendor) -> None:
    message = put("x")
    zombie = claim()
    assert zombie is not None
    end_lease(message)
    other = claim()
    assert other is not None

    def refuse(message: OutboxMessage) -> None:
        raise Undeliverable("late")

    vendor.then = refuse
    deliver(zombie)
    assert row(message).state == State.SENDING
    vendor.then = lambda message: None
    deliver(other)
    assert row(message).state == State.SENT


def test_a_message_that_kills_its_sender_each_time_dies_too(vendor: Vendor) -> None:
    message = put("poison")
    for _ in range(MAX_ATTEMPTS):
        assert claim() is not None
        end_lease(message)
    assert claim() is None
    assert row(message).state == State.DEAD


def test_a_channel_without_a_sender_keeps_its_messages() -> None:
    message = put("x")
    assert deliver_due() == 0
    assert row(message).state == State.PENDING


def test_the_duty_hints_at_what_is_due_and_sends_what_nobody_fetched(
    vendor: Vendor, hints: list[str]
) -> None:
    message = put("x")
    hints.clear()
    assert deliver_overdue() == 0
    assert hints == ["outbox.deliver"]
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=database_now() - timedelta(seconds=10))
    assert backlog().waiting == 1
    assert backlog().oldest_seconds >= 10
    assert deliver_overdue() == 1
    assert vendor.sent == ["x"]
    hints.clear()
    assert deliver_overdue() == 0
    assert hints == []


@pytest.mark.parametrize("interval", [0.0, 3600.0])
def test_many_processes_send_each_message_once(vendor: Vendor, interval: float) -> None:
    sending.register_sender("test", vendor, interval=interval)
    for n in range(20):
        put(f"m{n}", to=f"#{n}" if interval else "#a")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            deliver_due()
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(vendor.sent) == sorted(f"m{n}" for n in range(20))


def test_many_processes_keep_to_the_pace_of_one_destination(vendor: Vendor) -> None:
    sending.register_sender("test", vendor, interval=3600.0)
    for n in range(10):
        put(f"m{n}", to="#a")
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        deliver_due()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vendor.sent) == 1


def test_two_transactions_with_the_same_new_key_make_one_message(vendor: Vendor) -> None:
    barrier = threading.Barrier(3)

    def work(n: int) -> None:
        barrier.wait()
        put(f"state {n}", "card")
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OutboxMessage.objects.count() == 1
    assert OutboxMessage.objects.get().version == 3


def test_the_due_time_of_a_waiting_message_may_only_come_closer(vendor: Vendor) -> None:
    with time_machine.travel(datetime(2026, 11, 1, tzinfo=UTC), tick=False), transaction.atomic():
        soon, late = database_now(), database_now() + timedelta(hours=1)
        enqueue("test", "note", "k", {"text": "a"}, due_at=soon)
        message = enqueue("test", "note", "k", {"text": "b"}, due_at=late)
    assert row(message).due_at <= soon
