"""Kill switches hold starts and steps on five levels; what they held goes on when they are off, once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from runbooks import admitting, runs, switches
from runbooks.execution import live, recover
from runbooks.models import KillSwitch, Run, Runbook, StepRun
from runbooks.queries.words import state_in_words
from runbooks.steps.base import Success
from runbooks.switches import Place
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, history, ready_steps, until

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = "- {id: first, uses: test.call}\n- {id: second, uses: test.call}"


@pytest.fixture
def owner(db: None) -> Actor:
    return factories.actor(factories.owner())


@pytest.fixture
def made(stage: Stage, calls: type[Scripted]) -> Runbook:
    return stage.publish(STEPS)


def state(run: Run) -> str:
    run.refresh_from_db()
    return run.state


def everywhere(stage: Stage, made: Runbook) -> dict[str, Place]:
    """A place of each level that is about the runbook."""
    return {
        "installation": Place("installation"),
        "project": Place("project", stage.project),
        "runbook": Place("runbook", None, made),
        "action": Place("action", stage.project, None, "test.call"),
        "target": Place("target", None, None, "test"),
    }


def elsewhere(made: Runbook, other: Project) -> dict[str, Place]:
    """A place of each level that is not."""
    return {
        "project": Place("project", other),
        "runbook": Place("runbook", None, factories.runbook(other)),
        "action": Place("action", other, None, "test.call"),
        "target": Place("target", None, None, "production"),
    }


def turn_on(place: Place, stage: Stage, owner: Actor) -> KillSwitch:
    about_all = place.project is None and place.runbook is None
    return switches.turn_on(place, actor=owner if about_all else stage.actor, reason="it deletes things")


@pytest.mark.parametrize("level", ["installation", "project", "runbook"])
def test_a_switch_holds_starts_and_lets_them_go(
    stage: Stage, made: Runbook, owner: Actor, level: str
) -> None:
    switch = turn_on(everywhere(stage, made)[level], stage, owner)
    run = stage.start(made)
    assert (run.state, run.held, run.started_at) == ("pending", f"switch:{switch.pk}", None)
    words = state_in_words(run)
    assert words.startswith("Held by a kill switch on the ")
    assert "it deletes things" in words
    assert admitting.admit_due() == 0
    switches.turn_off(switch.pk, actor=owner if level == "installation" else stage.actor, reason="mended")
    assert admitting.admit_due() == 1
    stage.drive(run)
    assert run.state == "succeeded"


@pytest.mark.parametrize("level", ["installation", "project", "runbook", "action", "target"])
def test_a_switch_holds_the_next_step_at_the_gate_and_nothing_is_lost_or_doubled(
    stage: Stage, made: Runbook, owner: Actor, calls: type[Scripted], level: str
) -> None:
    run = stage.start(made)
    held: list[KillSwitch] = []

    def while_it_runs(_context: object) -> object:
        held.append(turn_on(everywhere(stage, made)[level], stage, owner))
        return Success({})

    calls.script["first"] = [while_it_runs]
    stage.driver.drive(ready_steps(run)[0])
    row = StepRun.objects.get(run=run, node="second")
    assert (row.state, row.held, row.owner) == ("ready", f"switch:{held[0].pk}", "")
    assert row.reason.startswith("Held by a kill switch on ")
    assert "Held by a kill switch" in state_in_words(Run.objects.get(pk=run.pk))
    assert recover.hint_ready() == 0
    assert stage.driver.next_overdue() is None
    assert stage.driver.drive(row.pk) == 0
    about_all = level in ("installation", "target")
    switches.turn_off(held[0].pk, actor=owner if about_all else stage.actor)
    assert recover.hint_ready() == 1
    stage.drive(run)
    assert run.state == "succeeded"
    assert [node for node, _, _ in calls.calls] == ["first", "second"]
    assert history(run).count("step.held second") == 1


def test_a_switch_about_something_else_holds_nothing(stage: Stage, made: Runbook, owner: Actor) -> None:
    other = factories.project()
    factories.give_role(other, factories.person("other-admin"), "admin")
    admin = factories.actor(factories.person(roles={other: "admin"}))
    for place in elsewhere(made, other).values():
        about_all = place.project is None and place.runbook is None
        switches.turn_on(place, actor=owner if about_all else admin, reason="elsewhere")
    run = stage.start(made)
    stage.drive(run)
    assert run.state == "succeeded"


def test_of_two_switches_both_must_be_off(stage: Stage, made: Runbook, owner: Actor) -> None:
    first = turn_on(Place("project", stage.project), stage, owner)
    second = turn_on(Place("runbook", None, made), stage, owner)
    run = stage.start(made)
    switches.turn_off(first.pk, actor=stage.actor)
    assert admitting.admit_due() == 0
    run.refresh_from_db()
    assert run.held == f"switch:{second.pk}"
    switches.turn_off(second.pk, actor=stage.actor)
    assert admitting.admit_due() == 1


def test_who_may_turn_which_switch(stage: Stage, made: Runbook, owner: Actor) -> None:
    operator = factories.actor(factories.person(roles={stage.project: "operator"}))
    responder = factories.actor(factories.person(roles={stage.project: "responder"}))
    stranger = factories.actor(factories.person())
    for place in everywhere(stage, made).values():
        about_all = place.project is None and place.runbook is None
        may = owner if about_all else operator
        for other in (responder, stranger, operator if about_all else owner):
            with pytest.raises((Forbidden, NotFound)):
                switches.turn_on(place, actor=other, reason="no")
        switch = switches.turn_on(place, actor=may, reason="yes")
        for other in (responder, stranger):
            with pytest.raises((Forbidden, NotFound)):
                switches.turn_off(switch.pk, actor=other)
        switches.turn_off(switch.pk, actor=may, reason="done")
    actions = AuditEntry.objects.filter(action__startswith="switch.").values_list("action", flat=True)
    assert sorted(actions) == ["switch.turned_off"] * 5 + ["switch.turned_on"] * 5


def test_a_switch_that_makes_no_sense_is_refused_in_words(stage: Stage, owner: Actor) -> None:
    senseless: list[tuple[Place, str, str]] = [
        (Place("planet"), "x", "A level is one of"),
        (Place("project"), "x", "Say which project"),
        (Place("runbook"), "x", "Say which runbook"),
        (Place("action", stage.project), "x", "Name the action type"),
        (Place("target", stage.project, None, "t" * 201), "x", "Name the target"),
        (Place("project", stage.project), "  ", "Say why"),
    ]
    for place, reason, words in senseless:
        with pytest.raises(Invalid, match=words):
            switches.turn_on(place, actor=stage.actor, reason=reason)


def test_what_a_level_would_not_take_into_account_is_refused(
    stage: Stage, made: Runbook, owner: Actor
) -> None:
    elsewhere = factories.project("elsewhere")
    for place, words in (
        (Place("action", None, made, "noop"), "takes a runbook"),
        (Place("project", stage.project, made), "takes a runbook"),
        (Place("installation", stage.project), "about all projects"),
        (Place("runbook", elsewhere, made), "another project"),
        (Place("project", stage.project, None, "noop"), "leave the name out"),
    ):
        with pytest.raises(Invalid, match=words):
            switches.turn_on(place, actor=owner, reason="x")
    assert not KillSwitch.objects.exists()


def test_an_action_type_that_is_not_there_is_refused_with_the_one_that_was_meant(stage: Stage) -> None:
    with pytest.raises(Invalid, match=r"no action type 'htp.request' here. Did you mean 'http.request'\?"):
        switches.turn_on(Place("action", stage.project, None, "htp.request"), actor=stage.actor, reason="x")


def test_what_is_on_is_not_turned_on_twice_and_off_only_once(stage: Stage) -> None:
    place = Place("project", stage.project)
    switch = switches.turn_on(place, actor=stage.actor, reason="one")
    with pytest.raises(Conflict, match="on already"):
        switches.turn_on(place, actor=stage.actor, reason="two")
    switches.turn_off(switch.pk, actor=stage.actor)
    with pytest.raises(Conflict, match="turned off by"):
        switches.turn_off(switch.pk, actor=stage.actor)
    again = switches.turn_on(place, actor=stage.actor, reason="three")
    assert [row.pk for row in switches.switches_on_for(stage.actor)] == [again.pk]


def test_a_pending_run_that_a_switch_holds_can_be_stopped(stage: Stage, made: Runbook, owner: Actor) -> None:
    switch = turn_on(Place("project", stage.project), stage, owner)
    run = stage.start(made)
    runs.stop(run.pk, actor=stage.actor, reason="not needed any more")
    switches.turn_off(switch.pk, actor=stage.actor)
    assert admitting.admit_due() == 0
    assert state(run) == "cancelled"


def test_whatever_happens_at_once_nothing_stays_held_behind_a_switch_that_is_off(
    stage: Stage, made: Runbook
) -> None:
    """Starts and steps that meet a switch while it is turned off are either seen by that, or see it off."""
    going = [stage.start(made) for _ in range(6)]
    switch = switches.turn_on(Place("project", stage.project), actor=stage.actor, reason="a moment")
    steps = [ready_steps(run)[0] for run in going]
    acts: list[Callable[[], object]] = [lambda step=step: stage.driver.drive(step) for step in steps]  # type: ignore[misc]
    acts += [lambda: stage.start(made)] * 6
    acts.insert(6, lambda: switches.turn_off(switch.pk, actor=stage.actor))
    together = threading.Barrier(len(acts))

    def perform(act: Callable[[], object]) -> None:
        together.wait()
        try:
            act()
        finally:
            connection.close()

    threads = [threading.Thread(target=perform, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    admitting.admit_due()
    assert not Run.objects.filter(state="pending").exists()
    for run in Run.objects.all():
        stage.drive(run)
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}
    assert Run.objects.count() == 12


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_switch_that_is_turned_on_while_a_step_waits_for_its_run_holds_it(
    stage: Stage, calls: type[Scripted], owner: Actor
) -> None:
    side_by_side = "- {id: both, kind: parallel, steps: [{id: a, uses: test.call}, {id: b, uses: test.call}]}"
    run = stage.start(stage.publish(side_by_side))
    step_id = ready_steps(run)[0]
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            live.lock_row(run.pk)
            held.set()
            done.wait(20)
        connection.close()

    def claim() -> None:
        stage.driver.drive(step_id)
        connection.close()

    threads = [threading.Thread(target=hold), threading.Thread(target=claim)]
    threads[0].start()
    held.wait(20)
    threads[1].start()
    until(waits_for_a_lock)
    threading.Event().wait(2 * live.WAITED_SECONDS)
    switches.turn_on(Place(KillSwitch.Level.INSTALLATION), actor=owner, reason="stop all")
    done.set()
    for thread in threads:
        thread.join()
    assert calls.calls == []
    assert StepRun.objects.get(pk=step_id).held.startswith("switch:")


def waits_for_a_lock() -> bool:
    """Whether somebody waits for a row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
