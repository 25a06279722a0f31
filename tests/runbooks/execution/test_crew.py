"""Several calls of one run at once within a worker process: they overlap, and each is committed, limited and told."""

from __future__ import annotations

import threading

import pytest
from django.db.models import F
from pytest_django import Settings

from runbooks.execution import drive, hints, recover
from runbooks.execution.claim import HINT_IS_LATE, claim_overdue, claim_steps
from runbooks.execution.complete import Done, complete_all
from runbooks.execution.crew import Crew
from runbooks.execution.drive import Driver
from runbooks.execution.effect import Ended
from runbooks.execution.gate import Work
from runbooks.execution.heart import Heart
from runbooks.execution.hints import MOST_HINTS
from runbooks.execution.worker import Me
from runbooks.models import Run, StepAttempt, StepRun
from runbooks.steps.base import ActionContext, Failure, Outcome, Success
from tests.runbooks.execution.stage import HEARTS, Scripted, Stage, history, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)

WIDTH = 4


def branches(width: int, more: str = "") -> str:
    steps = "\n".join(f"    - {{id: s{number}, uses: test.call{more}}}" for number in range(width))
    return f"- id: all\n  kind: parallel\n  steps:\n{steps}\n- {{id: join, uses: test.call}}"


def a_wide_driver() -> Driver:
    me = Me.in_pools("default")
    HEARTS.append(Heart(me))
    return Driver(me, HEARTS[-1], width=WIDTH)


class Together:
    """Counts how many calls are being made, and holds each until ``enough`` are, or for a moment."""

    def __init__(self, enough: int) -> None:
        self._lock, self._enough, self._met = threading.Lock(), enough, threading.Event()
        self.now, self.most = 0, 0

    def __call__(self, _context: ActionContext) -> Outcome:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= self._enough:
                self._met.set()
        self._met.wait(20)
        with self._lock:
            self.now -= 1
        return Success({})


def test_a_process_makes_as_many_calls_at_once_as_it_has_threads(stage: Stage, calls: type[Scripted]) -> None:
    together = Together(WIDTH)
    calls.script |= {f"s{number}": [together] for number in range(10)}
    run = stage.start(stage.publish(branches(10)))
    made = a_wide_driver().drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert (run.state, made, together.most) == (Run.State.SUCCEEDED, 11, WIDTH)
    assert sorted(node for node, _, _ in calls.calls) == sorted(["join", *(f"s{n}" for n in range(10))])
    assert StepAttempt.objects.filter(step__run=run, outcome="succeeded").count() == 11


def test_a_slot_is_kept_by_calls_that_are_gated_together(stage: Stage, calls: type[Scripted]) -> None:
    together = Together(2)
    calls.script |= {f"s{number}": [together] for number in range(6)}
    run = stage.start(stage.publish(branches(6, ", concurrency: {key: db, limit: 2}")))
    driver = a_wide_driver()
    for _ in range(20):
        for step_id in ready_steps(run):
            driver.drive(step_id)
    run.refresh_from_db()
    assert (run.state, together.most) == (Run.State.SUCCEEDED, 2)


def test_what_was_taken_from_us_costs_the_others_nothing(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(branches(3)))
    me = Me.in_pools("default")
    works = claim_steps(StepRun.objects.get(run=run, node="s0").pk, me, room=3)
    assert [work.key for work in works] == ["s0", "s1", "s2"]
    StepRun.objects.filter(run=run, node="s1").update(fence=99)
    done = [Done(work, Ended(Success({"by": work.key}))) for work in works]
    complete_all(done, me, room=0)
    assert states(run) == {"all": "executing", "s0": "succeeded", "s1": "executing", "s2": "succeeded"}


def test_a_failure_beside_successes_is_one_commit_with_them(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(branches(3)))
    me = Me.in_pools("default")
    works = claim_steps(ready_steps(run)[0], me, room=8)
    outcomes = [Success({}), Failure("broken", "It broke."), Success({})]
    revision = Run.objects.get(pk=run.pk).revision
    complete_all([Done(work, Ended(one)) for work, one in zip(works, outcomes, strict=True)], me)
    run.refresh_from_db()
    assert (run.state, run.revision) == (Run.State.FAILED, revision + 1)
    assert sorted(states(run).values()) == ["failed", "failed", "succeeded", "succeeded"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that workers are told of by name, instead of a broker."""
    found: list[str] = []
    monkeypatch.setattr(hints, "send", lambda _task, step_id, queue: found.append(step_id) or True)
    return found


def test_a_wide_block_is_announced_by_a_few_hints_that_pollers_wait_for(
    stage: Stage, calls: type[Scripted], sent: list[str]
) -> None:
    run = stage.start(stage.publish(branches(MOST_HINTS + 9)))
    assert len(sent) == MOST_HINTS
    assert len(ready_steps(run)) == MOST_HINTS + 9
    me = Me.in_pools("default")
    assert (recover.hint_ready(), claim_overdue(me)) == (0, None)
    StepRun.objects.update(hinted_at=F("hinted_at") - HINT_IS_LATE)
    work = claim_overdue(me)
    assert work is not None
    assert work.fence == 1
    assert history(run).count("step.scheduled s0") == 1


def test_what_a_few_hints_cannot_speak_for_is_told_to_nobody_and_taken_at_once(
    stage: Stage, calls: type[Scripted], sent: list[str], settings: Settings
) -> None:
    settings.WORKER_THREADS = 2
    run = stage.start(stage.publish(branches(2 * MOST_HINTS + 3)))
    alone = StepRun.objects.filter(run=run, state="ready", hinted_at=None)
    assert (len(sent), alone.count()) == (MOST_HINTS, 3)
    work = claim_overdue(Me.in_pools("default"))
    assert work is not None
    assert not StepRun.objects.get(pk=work.step_id).hinted_at
    assert recover.hint_ready() == 2
    assert len(set(sent)) == MOST_HINTS + 2


def test_each_pool_hears_of_its_own_steps(stage: Stage, calls: type[Scripted], sent: list[str]) -> None:
    steps = [f"    - {{id: s{n}, uses: test.call}}" for n in range(MOST_HINTS)]
    steps.append("    - {id: far, uses: test.call, runner: {pool: edge}}")
    run = stage.start(stage.publish("\n".join(["- id: all", "  kind: parallel", "  steps:", *steps])))
    far = StepRun.objects.get(run=run, node="far")
    assert (far.pool, str(far.pk) in sent, len(sent)) == ("edge", True, MOST_HINTS + 1)


def test_a_call_that_raises_is_left_to_its_lease_and_the_others_are_told() -> None:
    def call(number: int) -> int:
        if number == 2:
            raise RuntimeError("no database for its secrets")
        return number * 10

    shift = Crew(call, call, 3).begin()
    shift.begin([1, 2, 3])
    assert shift.room == 0
    told: list[tuple[int, int]] = []
    while ended := shift.ended():
        told += ended
    assert (sorted(told), shift.room) == ([(1, 10), (3, 30)], 3)


def test_a_call_that_ended_keeps_its_lease_until_its_result_is_written(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, ended = threading.Event(), threading.Event()
    real_complete, real_perform = drive.complete_all, drive.perform
    held: set[str] = set()

    def perform(work: Work, heart: Heart, *, aside: bool = False) -> Ended:
        if work.key == "s1":
            assert writing.wait(20)
        found = real_perform(work, heart, aside=aside)
        if work.key == "s1":
            ended.set()
        return found

    def complete_all(done: list[Done], me: Me, **named: int) -> list[Work]:
        if not writing.is_set():
            writing.set()
            assert ended.wait(20)
            held.update(str(step_id) for step_id in HEARTS[-1]._held)
        return real_complete(done, me, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(drive, "perform", perform)
    monkeypatch.setattr(drive, "complete_all", complete_all)
    run = stage.start(stage.publish(branches(2)))
    a_wide_driver().drive(StepRun.objects.get(run=run, node="s0").pk)
    run.refresh_from_db()
    both = {str(step.pk) for step in StepRun.objects.filter(run=run, node__in=["s0", "s1"])}
    assert (run.state, held) == (Run.State.SUCCEEDED, both)
    assert not HEARTS[-1]._held


LOOP = """\
- id: each
  kind: for_each
  items: '["p", "q", "r"]'
  concurrency: 2
  steps:
    - {id: act, uses: test.call, concurrency: {key: db, limit: 9}}
    - {id: again, uses: test.call}
- {id: after, uses: test.call}"""


@pytest.mark.parametrize("width", [1, WIDTH])
def test_rows_of_blocks_and_of_calls_that_begin_together_have_all_their_columns(
    stage: Stage, calls: type[Scripted], width: int
) -> None:
    run = stage.start(stage.publish(LOOP))
    me = Me.in_pools("default")
    HEARTS.append(Heart(me))
    driver = Driver(me, HEARTS[-1], width=width)
    driver.drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED
    slots = StepRun.objects.filter(run=run, node="act").values_list("slot", flat=True)
    assert [slot != "" for slot in slots] == [True] * 3


def test_two_items_that_end_together_begin_the_next_together(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(LOOP.replace("concurrency: 2", "concurrency: 3")))
    me = Me.in_pools("default")
    works = claim_steps(ready_steps(run)[0], me, room=3)
    while works:
        works = complete_all([Done(work, Ended(Success({}))) for work in works], me, room=3)
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED
