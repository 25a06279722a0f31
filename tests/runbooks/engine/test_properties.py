"""What holds for every runbook and every course of events."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbooks.engine import events as e
from runbooks.engine.apply import apply, replay
from runbooks.engine.commands import Compensate
from runbooks.engine.handover import open_items
from runbooks.engine.plan import plan
from runbooks.engine.reopening import reopening
from runbooks.engine.skipping import refusal
from runbooks.engine.state import Key, NodeState, RunState, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import (
    ActionStep,
    Runbook,
)
from tests.runbooks.engine.generated import steps
from tests.runbooks.engine.world import World, action, runbook

BEGINNINGS = (
    e.StepScheduled, e.StepStarted, e.TimerStarted, e.ApprovalAsked, e.ManualAsked, e.SubrunStarted, e.BlockStarted,
    e.LoopStarted, e.CaseChosen, e.PhaseEntered, e.RunUndoing, e.BlockCompensating,
)  # fmt: skip
"""What begins something, and so never happens while nothing may begin."""

WAITING = ("awaiting_approval", "awaiting_human", "uncertain")
MOVES = (
    *("succeed",) * 5, *("fail", "lose", "crash", "time", "decide", "decide", "void") * 2,
    "stop", "undo", "pause", "resume", "resume", "skip", "skip", "hand_over", "tick", "tick",
)  # fmt: skip


@st.composite
def courses(draw: st.DrawFn) -> World:
    """A run of some runbook, some way along its course or at its end."""
    definition = runbook(
        *draw(steps()),
        on_failure=draw(st.sampled_from([(), (action("on_failure_1"),)])),
        finally_=draw(
            st.sampled_from([(), (action("finally_1"), action("finally_2", continue_on_error=True))])
        ),
    )
    world = World(definition).start()
    for _ in range(draw(st.integers(0, 40))):
        move, choice = draw(st.sampled_from(MOVES)), draw(st.integers(0, 10))
        if world.state.ended and not (draw(st.booleans()) and _reopened(world, choice)):
            break
        if not world.state.ended and not _steered(world, move, choice):
            _move(world, move, choice)
    return world


def _reopened(world: World, choice: int) -> bool:
    """A person decides the doubts of a run that is over, and resumes it; False where that is refused."""
    for key in [key for key, node in world.state.nodes.items() if node.status == "uncertain"]:
        made = ("done", "fail")[choice % 2]
        world.record(e.StepDecided(at=world.now, key=key, choice=made, by="ada"))
    if reopening(world.definition, world.state, world.now).refusal:
        return False
    world.reopen()
    return True


def _steered(world: World, move: str, choice: int) -> bool:
    """What people do to a run as a whole; False for another move, or where it would be refused."""
    state = world.state
    free = not state.cancelling and state.items is None
    if move == "undo" and free and state.phase != "finally":
        world.stop(how="undo")
    elif move == "pause" and free and not state.paused:
        world.pause()
    elif move == "resume" and state.paused and state.items is None:
        world.resume(choice)
    elif move == "hand_over" and free and choice < 4 and not any(n.order for n in state.nodes.values()):
        world.hand_over()
    elif move == "tick" and (left := _to_tick(world)):
        world.tick(left[0], ("done", "skipped")[choice % 2])
    elif move == "skip":
        keys = [*state.nodes, *(step.id for step in world.definition.walk() if step.id not in state.nodes)]
        key = keys[choice % len(keys)]
        if refusal(world.definition, state, key):
            return False
        world.skip(key)
    else:
        return False
    return True


def _to_tick(world: World) -> list[str]:
    busy = ("executing", "uncertain")
    return [key for key in open_items(world.state) if world.status(key) not in busy]


def _move(world: World, move: str, choice: int) -> None:
    running = world.running()
    key = running[choice % len(running)] if running else None
    waiting = [k for k, node in world.state.nodes.items() if node.status in WAITING]
    if move == "stop" and not world.state.cancelling and world.state.items is None:
        world.stop()
    elif move == "time":
        world.advance(15)
    elif move == "decide" and waiting:
        _answer(world, waiting[choice % len(waiting)], choice)
    elif key is None:
        world.advance(1)
    elif move == "fail":
        world.fail(key)
    elif move == "lose" and Key.parse(key).role == "step":
        world.lose(key)
    elif move == "crash":
        node = world.state.node(key)
        if node.status == "ready":
            world.execute(key)
        world.record(e.StepCrashed(at=world.now, key=key, attempt=node.attempt + 1, crashes=node.crashes + 1))
        world.advance()
    else:
        world.succeed(key, {})


def _awaits(node: NodeState) -> bool:
    return node.status in WAITING or (node.run != "" and not node.ended)


def _answer(world: World, key: str, choice: int) -> None:
    if world.status(key) == "uncertain":
        world.record(
            e.StepDecided(at=world.now, key=key, choice=("done", "retry", "fail")[choice % 3], by="ada")
        )
        world.advance()
    elif world.state.node(key).run:
        status = ("succeeded", "failed", "cancelled")[choice % 3]
        error = None if status == "succeeded" else {"code": "broken", "message": "It broke."}
        world.record(e.SubrunFinished(at=world.now, key=key, status=status, error=error))
        world.advance()
    elif world.status(key) == "awaiting_human":
        choice_made = ("done", "cannot")[choice % 2]
        world.record(e.ManualAnswered(at=world.now, key=key, choice=choice_made, by="ada", reason="r"))
        world.advance()
    else:
        world.decide(key, ("approved", "rejected", "expired")[choice % 3], goes_on=choice % 2 == 0)


many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@many
@given(courses(), st.floats(0, 1))
def test_any_prefix_of_a_history_replays_to_the_same_state(world: World, share: float) -> None:
    cut = int(len(world.history) * share)
    assert replay(world.history) == world.state
    assert replay(world.history[cut:], replay(world.history[:cut])) == world.state


@many
@given(courses())
def test_a_history_survives_its_json_form(world: World) -> None:
    rows = [(event.type, event.data(), event.at) for event in world.history]
    assert [e.from_row(*row) for row in rows] == world.history


@many
@given(courses())
def test_the_plan_is_deterministic_and_has_nothing_to_add_to_itself(world: World) -> None:
    assert plan(world.definition, world.state, world.now) == plan(world.definition, world.state, world.now)
    assert plan(world.definition, world.state, world.now) == []


@many
@given(courses())
def test_nothing_is_started_twice_and_nothing_after_the_end(world: World) -> None:
    scheduled: set[str] = set()
    before: e.Event | None = None
    for event in world.history:
        if isinstance(before, e.RunFinished):
            assert isinstance(event, e.RunReopened | e.StepDecided)
        elif isinstance(event, e.StepScheduled) and "/probe" not in event.key:
            assert event.key not in scheduled
            scheduled.add(event.key)
        if isinstance(event, e.RunReopened):
            scheduled -= set(event.again)
        if not (isinstance(before, e.RunFinished) and isinstance(event, e.StepDecided)):
            before = event


@many
@given(courses())
def test_a_step_that_succeeded_never_runs_again_after_the_run_was_resumed(world: World) -> None:
    later = {step.id for step in (*world.definition.on_failure, *world.definition.finally_)}
    actions = {step.id for step in world.definition.walk() if isinstance(step, ActionStep)} - later
    for n, event in enumerate(world.history):
        if isinstance(event, e.RunReopened):
            before = replay(world.history[:n])
            kept = {
                key
                for key, node in before.nodes.items()
                if node.status == StepStatus.SUCCEEDED and key in {k for k in before.nodes if "/" not in k}
                and Key.parse(key).node in actions
            }  # fmt: skip
            assert not kept & set(event.again)
            started = {one.key for one in world.history[n:] if isinstance(one, e.StepScheduled)}
            assert not kept & started


@many
@given(courses())
def test_nothing_begins_while_a_run_is_paused_or_handed_over(world: World) -> None:
    held = False
    for event in world.history:
        if isinstance(event, e.RunPaused | e.RunHandedOver):
            held = True
        elif isinstance(event, e.RunResumed | e.CancelRequested | e.RunFinished):
            held = False
        assert not (held and isinstance(event, BEGINNINGS)), event


@many
@given(courses())
def test_a_stopped_run_is_undone_in_the_strict_reverse_of_completion_across_all_groups(world: World) -> None:
    state = RunState()
    for event in world.history:
        if isinstance(event, e.RunUndoing):
            places = [state.node(key).ended_n for key in event.order]
            assert places == sorted(places, reverse=True)
            assert all(state.node(key).status == StepStatus.SUCCEEDED for key in event.order)
        if isinstance(event, e.StepScheduled) and state.phase == "undo":
            before = state.undoing[: state.undoing.index(event.key.split("/")[0])]
            assert all(state.node(key).status == StepStatus.COMPENSATED for key in before)
        state = apply(state, event)


@many
@given(courses())
def test_a_run_that_is_over_has_nothing_left_to_do_but_doubts(world: World) -> None:
    if world.state.ended:
        left = {key: node.status for key, node in world.state.nodes.items() if node.in_flight}
        assert set(left.values()) <= {StepStatus.UNCERTAIN}, left


@many
@given(courses())
def test_a_probe_speaks_only_for_the_attempt_that_is_in_doubt(world: World) -> None:
    for key in world.state.nodes:
        place = Key.parse(key)
        if place.role == "probe":
            assert world.state.node(key_of(place.node, place.iteration)).status == StepStatus.UNCERTAIN


@many
@given(courses())
def test_finally_always_runs_before_the_end(world: World) -> None:
    if world.state.ended and world.definition.finally_ and world.state.items is None:
        assert world.state.node("finally_1").ended
    assert _finishes(world.definition, world.state, world)


def _finishes(definition: Runbook, state: RunState, world: World) -> bool:
    """From wherever it is, a run whose every step succeeds comes to its end: nothing hangs."""
    for _ in range(200):
        if world.state.ended:
            by_hand = world.state.items is not None
            return by_hand or not definition.finally_ or world.state.node("finally_1").ended
        if world.state.paused and world.state.items is None:
            world.resume()
            continue
        running = world.running()
        waiting = [k for k, n in world.state.nodes.items() if _awaits(n)]
        asking = [k for k in waiting if world.status(k) != "uncertain" or world.state.node(k).asks_human]
        if running:
            world.succeed(running[0], {})
        elif world.state.items is not None and (left := _to_tick(world)):
            world.tick(left[0])
        elif asking:
            _answer(world, asking[0], 0)
        elif world.state.items is not None:
            doubts = [k for k in waiting if world.status(k) == "uncertain"]
            _answer(world, doubts[0], 2)
        else:
            world.advance(3600)
    return False


@many
@given(courses())
def test_compensation_is_in_the_strict_reverse_of_completion(world: World) -> None:
    undone = [command.key.split("/")[0] for command in world.commanded if isinstance(command, Compensate)]
    by_group: dict[str, list[str]] = {}
    for event in world.history:
        if isinstance(event, e.BlockCompensating):
            by_group[event.key] = event.order
    completed = [
        event.key
        for event in world.history
        if isinstance(event, e.StepSucceeded | e.StepProbed | e.StepDecided)
    ]
    for order in by_group.values():
        places = [max(n for n, key in enumerate(completed) if key == step) for step in order]
        assert places == sorted(places, reverse=True)
        done = [step for step in undone if step in order]
        assert done == order[: len(done)]


@many
@given(courses())
def test_a_skipped_step_is_never_called(world: World) -> None:
    human = {event.key for event in world.history if isinstance(event, e.StepSkipped) and event.by}
    skipped = {key for key, node in world.state.nodes.items() if node.status == StepStatus.SKIPPED}
    assert not (skipped - human) & set(world.started)
