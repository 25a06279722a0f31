"""Whether and when a run begins: limits counted from rows, places freed by whoever ends, starts put off."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings

from handrail.accounts.actions import remove_role
from handrail.audit.models import AuditEntry
from handrail.incidents import timeline
from handrail.incidents.actions import open_incident
from handrail.incidents.models import TimelineEvent
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, HandrailError, Invalid
from handrail.shared.ids import short
from runbooks import admitting, refusals, runs, triggers
from runbooks.execution import live
from runbooks.matters import Matter
from runbooks.models import RefusedStart, Run, Runbook, StepRun
from runbooks.priorities import CONTAINMENT, PEOPLE, SCHEDULED
from runbooks.queries.words import state_in_words
from runbooks.refusals import NotAdmitted
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, history, states, until

pytestmark = pytest.mark.django_db(transaction=True)

SERVICE = "inputs: {service: {type: string, default: checkout}}\n"
WAITS = "- {id: pause, kind: wait, for: 1h}"


def limited(stage: Stage, on_conflict: str = "queue", limit: int = 1, steps: str = WAITS) -> Runbook:
    """A runbook of which so many runs for the same service may be live."""
    policy = f"concurrency: {{key: '${{{{ inputs.service }}}}', limit: {limit}, on_conflict: {on_conflict}}}"
    return stage.publish(steps, slug=factories.unique("limited"), rest=SERVICE + policy)


def rated(stage: Stage, on_exceed: str, most: int = 2, per: str = "1h") -> Runbook:
    policy = f"rate_limit: {{key: '${{{{ inputs.service }}}}', max_runs: {most}, per: {per}, on_exceed: {on_exceed}}}"
    return stage.publish("- {id: look, uses: noop}", slug=factories.unique("rated"), rest=SERVICE + policy)


def at_once(acts: Sequence[Callable[[], object]]) -> list[object]:
    """Act in so many threads at the same moment; what each gave, or raised."""
    found: list[object] = []
    together = threading.Barrier(len(acts))

    def perform(act: Callable[[], object]) -> None:
        together.wait()
        try:
            found.append(act())
        except HandrailError as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=perform, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def state(run: Run) -> str:
    run.refresh_from_db()
    return run.state


def stop(stage: Stage, run: Run) -> None:
    runs.stop(run.pk, actor=stage.actor, reason="enough")


def ago(run: Run, **since: datetime) -> None:
    """The run's times as if they were so."""
    Run.objects.filter(pk=run.pk).update(**since)


# --- queue ---------------------------------------------------------------------------------------


def test_a_run_beyond_the_limit_is_pending_and_says_why(stage: Stage) -> None:
    made = limited(stage)
    first, second = stage.start(made), stage.start(made)
    other = stage.start(made, service="search")
    assert (first.state, second.state, other.state) == ("waiting", "pending", "waiting")
    assert (second.started_at, second.held, second.deadline) == (None, "slot", None)
    assert state_in_words(second) == (
        f"Waits for its turn: run {short(first.pk)} with the key 'checkout' goes on (concurrency limit 1)"
    )
    assert history(second) == ["run.held"]
    assert states(second) == {}
    assert AuditEntry.objects.filter(action="run.queued", object_id=str(second.pk)).count() == 1


def test_the_first_that_waits_begins_when_a_place_is_free(stage: Stage) -> None:
    made = limited(stage)
    first, second, third = (stage.start(made) for _ in range(3))
    stop(stage, first)
    assert [state(run) for run in (first, second, third)] == ["cancelled", "waiting", "pending"]
    assert (second.held, second.held_reason, second.look_at) == ("", "", None)
    assert second.started_at is not None
    assert history(second)[:2] == ["run.held", "run.started"]
    assert live.load(second.pk).state.started_at == second.started_at
    stop(stage, second)
    assert state(third) == "waiting"


def test_a_place_that_nobody_was_told_of_is_found_by_the_sweeper(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that ended the run died right after its commit."""
    made = limited(stage)
    first, second = stage.start(made), stage.start(made)
    with monkeypatch.context() as dying:
        dying.setattr(admitting, "look", lambda _run_id: False)
        stop(stage, first)
    assert state(second) == "pending"
    assert admitting.admit_due() == 1
    assert state(second) == "waiting"
    assert admitting.admit_due() == 0


def test_containment_begins_before_people_and_people_before_schedules(stage: Stage) -> None:
    made = limited(stage)
    live_one = stage.start(made)
    waiting = [
        runs.start(made, inputs={}, actor=stage.actor, priority=priority).run
        for priority in (SCHEDULED, PEOPLE, CONTAINMENT)
    ]
    begun = []
    for _ in waiting:
        stop(stage, live_one)
        live_one = next(run for run in waiting if state(run) == "waiting")
        begun.append(live_one.priority)
    assert begun == [CONTAINMENT, PEOPLE, SCHEDULED]


def test_the_priority_of_a_run_is_that_of_its_steps(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}")
    urgent = runs.start(made, inputs={}, actor=stage.actor, priority=CONTAINMENT).run
    usual = stage.start(made)
    assert StepRun.objects.get(run=urgent).priority == CONTAINMENT
    StepRun.objects.update(hinted_at=None)
    work = stage.driver.next_overdue()
    assert work is not None
    assert work.live.run.pk == urgent.pk != usual.pk


def test_a_pending_run_can_be_stopped_and_cleans_nothing_up(stage: Stage, calls: type[Scripted]) -> None:
    policy = "concurrency: {key: all}"
    made = stage.publish(
        WAITS, rest=f"{policy}\nfinally: [{{id: tidy, uses: test.call}}]\noutcome: {{well: 'true'}}"
    )
    first, second, third = (stage.start(made) for _ in range(3))
    stop(stage, second)
    assert state(second) == "cancelled"
    assert (second.is_open, second.outcome, second.cancel_reason) == (False, {}, "enough")
    assert states(second) == {}
    with pytest.raises(Conflict):
        stop(stage, second)
    stop(stage, first)
    stage.drive(first)
    assert state(third) == "waiting"


def test_a_starter_who_lost_the_role_starts_nothing_by_having_waited(stage: Stage) -> None:
    made = limited(stage)
    responder = factories.person(roles={stage.project: "responder"})
    first = stage.start(made)
    second = runs.start(made, inputs={}, actor=factories.actor(responder)).run
    remove_role(stage.project, responder, "responder", actor=stage.actor)
    stop(stage, first)
    assert state(second) == "cancelled"
    assert "may no longer start runs" in second.cancel_reason


def test_fifty_starts_at_once_never_exceed_the_limit_and_each_place_is_taken_again(stage: Stage) -> None:
    made = limited(stage, limit=2)
    results = at_once([lambda: runs.start(made, inputs={}, actor=stage.actor)] * 50)
    assert {type(result).__name__ for result in results} == {"StartResult"}
    begun: set[uuid.UUID] = set()
    for _ in range(4):
        going = list(Run.objects.filter(runbook=made, is_open=True).exclude(state="pending"))
        assert len(going) == 2
        assert begun.isdisjoint(run.pk for run in going)
        begun |= {run.pk for run in going}
        at_once([lambda run=run: stop(stage, run) for run in going])  # type: ignore[misc]
        admitting.admit_due()
    assert Run.objects.filter(runbook=made, is_open=True).count() == 42


def test_a_hundred_starts_with_one_key_are_one_run(stage: Stage) -> None:
    made = stage.publish(WAITS)
    acts = [lambda: runs.start(made, inputs={}, actor=stage.actor, dedupe_key="one")] * 100
    results = at_once(acts)
    assert {type(result).__name__ for result in results} == {"StartResult"}
    assert [result.created for result in results if isinstance(result, runs.StartResult)].count(True) == 1
    assert Run.objects.filter(runbook=made).count() == 1


# --- attach, skip, replace -----------------------------------------------------------------------


def test_attach_answers_with_the_run_that_goes_on_and_the_incident_says_so(stage: Stage) -> None:
    made = limited(stage, "attach")
    first = stage.start(made)
    incident = factories.incident(stage.project)
    result = runs.start(made, inputs={}, actor=stage.actor, incident=incident)
    assert (result.run.pk, result.created) == (first.pk, False)
    assert (
        result.reason
        == f"Run {short(first.pk)} goes on already with the key 'checkout' (on_conflict: attach)."
    )
    assert TimelineEvent.objects.get(incident=incident, kind="run.attached").data["run"] == str(first.pk)
    assert Run.objects.filter(runbook=made).count() == 1


def test_skip_starts_nothing_and_says_why(stage: Stage) -> None:
    made = limited(stage, "skip")
    first = stage.start(made)
    with pytest.raises(NotAdmitted) as refused:
        stage.start(made)
    assert refused.value.code == "concurrency"
    assert str(refused.value) == (
        f"A runbook was not started: run {short(first.pk)} with the key 'checkout' goes on already (on_conflict: skip)."
    )
    assert Run.objects.filter(runbook=made).count() == 1
    assert not RefusedStart.objects.exists()
    assert AuditEntry.objects.filter(action="run.refused").count() == 1


@pytest.mark.parametrize("policy", ["attach", "skip"])
def test_of_many_starts_at_once_one_is_enough(stage: Stage, policy: str) -> None:
    made = limited(stage, policy)
    at_once([lambda: runs.start(made, inputs={}, actor=stage.actor)] * 12)
    assert Run.objects.filter(runbook=made).count() == 1


def test_replace_stops_the_older_run_and_begins_when_it_has_ended(
    stage: Stage, calls: type[Scripted]
) -> None:
    made = limited(stage, "replace", steps=f"{WAITS}\n- {{id: never, uses: test.call}}")
    first = stage.start(made)
    second = stage.start(made)
    assert [state(run) for run in (first, second)] == ["cancelled", "waiting"]
    assert first.cancel_reason == f"Run {short(second.pk)} takes its place (on_conflict: replace)."
    assert (
        AuditEntry.objects.get(action="run.stopped", object_id=str(first.pk)).actor_name == stage.actor.name
    )
    assert history(second)[:2] == ["run.held", "run.started"]


def test_replace_waits_for_the_last_steps_of_the_older_run(stage: Stage) -> None:
    policy = "concurrency: {key: all, on_conflict: replace}\nfinally: [{id: tidy, uses: noop}]"
    made = stage.publish(WAITS, rest=policy)
    first, second = stage.start(made), stage.start(made)
    assert [state(run) for run in (first, second)] == ["cancelling", "pending"]
    third = stage.start(made)
    assert [state(run) for run in (first, second, third)] == ["cancelling", "cancelled", "pending"]
    stage.drive(first)
    assert [state(run) for run in (first, third)] == ["cancelled", "waiting"]


@pytest.mark.parametrize("limit", ["concurrency", "rate", "loop"])
def test_who_starts_a_run_in_an_incident_never_waits_for_an_alert_that_waits_for_them(
    stage: Stage, limit: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    made = limited(stage, limit=5) if limit == "concurrency" else rated(stage, "skip", most=5)
    incident = factories.incident(stage.project)

    def start() -> Run:
        return runs.start(
            made, inputs={}, actor=stage.actor, incident=incident, automatic=limit == "loop"
        ).run

    found: list[object] = []
    other = threading.Thread(target=lambda: found.extend(at_once([start])))
    with transaction.atomic():
        # As an alert does that belongs to the incident.
        timeline.add(incident, "note", "An alert", actor=stage.actor)
        other.start()
        until(somebody_waits)
        start()
    other.join()
    assert [type(one) for one in found] == [Run]
    assert Run.objects.filter(incident=incident).count() == 2


def test_a_start_that_was_put_off_is_not_replaced_before_its_time_and_replaces_then(stage: Stage) -> None:
    made = limited(stage, "replace")
    later = database_now() + timedelta(hours=2)
    put_off = runs.start(made, inputs={}, actor=stage.actor, start_at=later).run
    now = stage.start(made)
    assert [state(run) for run in (put_off, now)] == ["pending", "waiting"]
    ago(put_off, start_at=database_now(), look_at=database_now())
    admitting.admit_due()
    assert [state(run) for run in (now, put_off)] == ["cancelled", "waiting"]


def somebody_waits() -> bool:
    """Whether a connection of PostgreSQL waits for a lock."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connection.cursor() as cursor:
        cursor.execute(waiting)
        return bool(cursor.fetchall())


def test_what_starts_two_runbooks_never_waits_for_who_starts_one_of_them_and_waits_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that both do is recorded in one chain: its end is locked after the keys."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    opened = "triggers: [{id: opened, on: incident}]\n"
    policy = "concurrency: {key: all, limit: 5}"
    stage.publish(WAITS, slug="a-first", rest=opened)
    second = stage.publish(WAITS, slug="b-second", rest=opened + policy)
    found: list[object] = []
    person = threading.Thread(target=lambda: found.extend(at_once([lambda: stage.start(second)])))
    act = triggers._act

    def acted(*args: Any, **more: Any) -> None:
        act(*args, **more)
        if not person.ident:
            person.start()
            until(lambda: somebody_waits() or bool(found))

    monkeypatch.setattr(triggers, "_act", acted)
    incident = open_incident(stage.project, title="It is slow", actor=stage.actor)
    person.join()
    assert [type(one) for one in found] == [Run]
    assert list(
        Run.objects.filter(incident=incident).values_list("runbook__slug", flat=True).order_by("pk")
    ) == [
        "a-first",
        "b-second",
    ]


# --- rates and loops -----------------------------------------------------------------------------


def test_beyond_the_rate_nothing_starts_and_people_are_told_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Matter] = []
    monkeypatch.setattr(refusals, "matter_arose", told.append)
    made = rated(stage, "page")
    incident = factories.incident(stage.project)
    for _ in range(2):
        stage.start(made)
    for _ in range(3):
        with pytest.raises(NotAdmitted) as refused:
            runs.start(made, inputs={}, actor=stage.actor, incident=incident)
    assert refused.value.code == "rate_limited"
    assert "2 of at most 2 runs with the key 'checkout' began within 3600 s" in str(refused.value)
    row = RefusedStart.objects.get()
    assert (row.times, row.code, row.incident) == (3, "rate_limited", incident)
    assert TimelineEvent.objects.filter(incident=incident, kind="run.refused").count() == 1
    assert stage.start(made, service="search").state == "running"
    assert [(matter.kind, matter.settled) for matter in told] == [("refused", False)]
    seen = refusals.mark_seen(row.pk, actor=stage.actor)
    assert seen.seen_by == stage.actor.name
    assert [(matter.key, matter.settled) for matter in told[1:]] == [(f"refused:{row.pk}", True)]
    with pytest.raises(Conflict):
        refusals.mark_seen(row.pk, actor=stage.actor)
    with pytest.raises(NotAdmitted):
        stage.start(made)
    assert list(refusals.unseen(stage.actor).values_list("times", flat=True)) == [1]


@pytest.mark.parametrize("on_exceed", ["skip", "fail"])
def test_a_rate_may_refuse_in_silence(stage: Stage, on_exceed: str) -> None:
    made = rated(stage, on_exceed, most=1)
    stage.start(made)
    with pytest.raises(NotAdmitted):
        stage.start(made)
    assert not RefusedStart.objects.exists()


def test_the_rate_counts_what_began_within_its_window(stage: Stage) -> None:
    made = rated(stage, "skip", most=1)
    first = stage.start(made)
    ago(first, started_at=database_now() - timedelta(minutes=61))
    assert stage.start(made).started_at is not None


def test_a_rate_that_queues_lets_each_begin_in_its_turn(stage: Stage) -> None:
    made = rated(stage, "queue", most=1)
    first, second, third = (stage.start(made) for _ in range(3))
    assert (second.held, third.held) == ("rate", "rate")
    assert first.started_at is not None
    assert second.look_at is not None
    assert third.look_at is not None
    assert second.look_at == first.started_at + timedelta(hours=1)
    assert third.look_at > second.look_at
    ago(first, started_at=database_now() - timedelta(minutes=61))
    ago(second, look_at=database_now())
    assert admitting.admit_due() == 1
    assert (second.held, state(second), state(third)) == ("rate", "running", "pending")


@override_settings(LOOP_GUARD_RUNS=3)
def test_a_remediation_loop_is_stopped_and_people_are_told(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}", rest=SERVICE)
    incident = factories.incident(stage.project)

    def contain(**inputs: str) -> Run:
        return runs.start(
            made,
            inputs=dict(inputs),
            actor=stage.actor,
            incident=incident,
            automatic=True,
            priority=CONTAINMENT,
        ).run

    for _ in range(3):
        stage.drive(contain())
    with pytest.raises(NotAdmitted) as refused:
        contain()
    assert refused.value.code == "loop_guard"
    assert "looks like a loop" in str(refused.value)
    assert RefusedStart.objects.get().code == "loop_guard"
    contain(service="search")
    assert stage.start(made).state == "running", "a person may"
    Run.objects.filter(runbook=made).update(created_at=database_now() - timedelta(minutes=61))
    contain()


@override_settings(LOOP_GUARD_RUNS=2)
def test_many_automatic_starts_at_once_do_not_pass_the_guard(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}")
    at_once([lambda: runs.start(made, inputs={}, actor=stage.actor, automatic=True)] * 8)
    assert Run.objects.filter(runbook=made).count() == 2


# --- later, and pools that are full --------------------------------------------------------------


def test_a_start_that_is_put_off_begins_at_its_time_by_the_sweeper(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}", rest="timeout: 1h")
    start_at = database_now() + timedelta(hours=2)
    result = runs.start(made, inputs={}, actor=stage.actor, start_at=start_at)
    run = result.run
    assert result.created
    assert result.reason == f"Starts at {start_at:%Y-%m-%d %H:%M:%S} UTC."
    assert (run.state, run.started_at, run.deadline, run.look_at) == ("pending", None, None, start_at)
    assert state_in_words(run) == result.reason.rstrip(".")
    assert admitting.admit_due() == 0
    assert not admitting.look(run.pk), "looked at too early: nothing changes"
    assert history(run) == ["run.held"]
    stop(stage, run)
    assert (state(run), run.cancel_reason) == ("cancelled", "enough")


def test_when_its_time_has_come_a_run_begins_and_has_all_its_time(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}", rest="timeout: 1h")
    soon = database_now() + timedelta(milliseconds=300)
    run = runs.start(made, inputs={}, actor=stage.actor, start_at=soon).run
    assert run.state == "pending"
    until(lambda: admitting.admit_due() == 1)
    assert state(run) == "running"
    assert run.started_at is not None
    assert run.started_at >= soon
    assert run.deadline == run.started_at + timedelta(hours=1)


def test_a_start_in_the_past_begins_at_once_and_one_in_two_years_never(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}")
    past = database_now() - timedelta(days=1)
    assert runs.start(made, inputs={}, actor=stage.actor, start_at=past).run.state == "running"
    with pytest.raises(Invalid, match="365 days"):
        runs.start(made, inputs={}, actor=stage.actor, start_at=database_now() + timedelta(days=800))


@override_settings(POOL_QUEUE_LIMIT=1)
def test_schedules_wait_for_a_pool_that_is_full_and_containment_does_not(stage: Stage) -> None:
    made = stage.publish("- {id: look, uses: noop}")
    crowd = [stage.start(made) for _ in range(2)]
    scheduled = runs.start(made, inputs={}, actor=stage.actor, priority=SCHEDULED).run
    assert (scheduled.state, scheduled.held) == ("pending", "pool:default")
    assert "more than 1 steps are ready in the pool default" in scheduled.held_reason
    assert runs.start(made, inputs={}, actor=stage.actor, priority=CONTAINMENT).run.state == "running"
    assert not admitting.look(scheduled.pk)
    for run in crowd:
        stage.drive(run)
    ago(scheduled, look_at=database_now())
    assert admitting.admit_due() == 1
    assert state(scheduled) == "running"


# --- runs of runs --------------------------------------------------------------------------------

OUTER = "- {id: sub, kind: runbook, runbook: inner}\n- {id: after, uses: noop}"


def inner(stage: Stage, on_conflict: str) -> Runbook:
    return stage.publish(WAITS, slug="inner", rest=f"concurrency: {{key: all, on_conflict: {on_conflict}}}")


@pytest.mark.parametrize("on_conflict", ["queue", "attach"])
def test_a_run_that_a_step_waits_for_waits_for_its_turn(stage: Stage, on_conflict: str) -> None:
    first = stage.start(inner(stage, on_conflict))
    outer = stage.start(stage.publish(OUTER, slug="outer"))
    child = Run.objects.get(parent_step__run=outer)
    assert (child.state, child.held, states(outer)) == ("pending", "slot", {"sub": "executing"})
    stop(stage, first)
    assert state(child) == "waiting"


def test_a_run_that_a_step_would_wait_for_is_refused_in_words(stage: Stage) -> None:
    first = stage.start(inner(stage, "skip"))
    outer = stage.start(stage.publish(OUTER, slug="outer"))
    assert state(outer) == "failed"
    error = StepRun.objects.get(run=outer, node="sub").error
    assert error is not None
    assert error["code"] == "concurrency"
    assert f"inner was not started: run {short(first.pk)}" in error["message"]
    assert Run.objects.filter(runbook__slug="inner").count() == 1


def test_a_pending_child_is_stopped_with_its_parent(stage: Stage) -> None:
    stage.start(inner(stage, "queue"))
    outer = stage.start(stage.publish(OUTER, slug="outer"))
    child = Run.objects.get(parent_step__run=outer)
    stop(stage, outer)
    assert [state(run) for run in (child, outer)] == ["cancelled", "cancelled"]


def test_a_key_that_a_start_cannot_give_is_refused_in_words(stage: Stage) -> None:
    made = stage.publish(WAITS, rest="concurrency: {key: '${{ alert.labels.service }}'}")
    with pytest.raises(Invalid, match="The key of the runbook's concurrency cannot be told"):
        stage.start(made)


def test_looking_at_a_run_that_is_not_pending_changes_nothing(stage: Stage) -> None:
    run = stage.start(stage.publish(WAITS))
    before = history(run)
    assert not admitting.look(run.pk)
    assert history(run) == before
    with pytest.raises(Exception, match="no such run"):
        admitting.look(uuid.uuid4())


def test_a_run_is_stopped_even_if_the_next_cannot_be_looked_at(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_run_id: uuid.UUID) -> bool:
        raise RuntimeError("It breaks after the commit.")

    made = limited(stage)
    first, second = stage.start(made), stage.start(made)
    with monkeypatch.context() as patch:
        patch.setattr(admitting, "look", fails)
        stop(stage, first)
    assert [state(run) for run in (first, second)] == ["cancelled", "pending"]
    assert admitting.admit_due() == 1, "the sweeper finds the mark"
