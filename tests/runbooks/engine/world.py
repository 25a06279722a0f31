"""A world in memory for the pure engine: it does what the plan commands, and the test says how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.commands import AskApproval, Record, StartRun, StartStep
from runbooks.engine.compensation import capture
from runbooks.engine.handover import remaining
from runbooks.engine.plan import plan
from runbooks.engine.reopening import reopening
from runbooks.engine.skipping import inside_keys
from runbooks.engine.state import Key, RunState
from runbooks.language.definition import ActionStep, Call, Json, Runbook, Step

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def action(step_id: str, **values: object) -> ActionStep:
    with_ = values.pop("with_", {})
    assert isinstance(with_, dict)
    make: Callable[..., ActionStep] = ActionStep
    return make(id=step_id, call=Call("noop", with_), path=step_id, **values)


def runbook(*steps: Step, **values: object) -> Runbook:
    make: Callable[..., Runbook] = Runbook
    return make(id="a-runbook", title="A runbook", steps=steps, **values)


@dataclass
class World:
    """One run. ``started`` are the keys of the calls in the order in which they were made."""

    definition: Runbook
    inputs: dict[str, Json] = field(default_factory=dict)
    now: datetime = START
    state: RunState = field(default_factory=RunState)
    history: list[e.Event] = field(default_factory=list)
    commanded: list[StartStep] = field(default_factory=list)
    asked: list[AskApproval] = field(default_factory=list)
    deadline: datetime | None = None

    def start(self) -> World:
        self.record(e.RunStarted(at=self.now, inputs=self.inputs, run={"id": "r"}, deadline=self.deadline))
        return self.advance()

    def record(self, event: e.Event) -> None:
        self.history.append(event)
        self.state = apply(self.state, event)

    def advance(self, seconds: float = 0.0) -> World:
        self.now += timedelta(seconds=seconds)
        for command in plan(self.definition, self.state, self.now):
            if isinstance(command, Record):
                self.record(command.event)
            elif isinstance(command, StartStep):
                self.commanded.append(command)
                self.record(
                    e.StepScheduled(at=self.now, key=command.key, attempt=command.attempt, ready_at=self.now)
                )
            elif isinstance(command, StartRun):
                self.record(
                    e.SubrunStarted(at=self.now, key=command.key, run="child", deadline=command.deadline)
                )
            else:
                self.asked.append(command)
                self.record(
                    e.ApprovalAsked(
                        at=self.now, key=command.key, approval="a", digest="d", round=command.round
                    )
                )
        return self

    @property
    def started(self) -> list[str]:
        return [command.key for command in self.commanded]

    def running(self) -> list[str]:
        """The keys that a worker could work on or works on."""
        states = ("executing",) if self.state.paused else ("ready", "executing")
        return [key for key, node in self.state.nodes.items() if node.status in states and node.attempt]

    def execute(self, key: str) -> World:
        node = self.state.node(key)
        self.record(e.StepStarted(at=self.now, key=key, attempt=node.attempt))
        return self

    def succeed(self, key: str, outputs: Json = None, *, seconds: float = 0.0) -> World:
        self.now += timedelta(seconds=seconds)
        if self.state.node(key).status == "ready":
            self.execute(key)
        captured = None
        if "/" not in key:
            captured = capture(self.definition, key, self.state, outputs)
        self.record(e.StepSucceeded(at=self.now, key=key, outputs=outputs, compensate=captured))
        return self.advance()

    def fail(self, key: str, code: str = "broken", *, seconds: float = 0.0) -> World:
        self.now += timedelta(seconds=seconds)
        if self.state.node(key).status == "ready":
            self.execute(key)
        self.record(e.StepFailed(at=self.now, key=key, error={"code": code, "message": "It broke."}))
        return self.advance()

    def lose(self, key: str) -> World:
        """The worker died in the middle of a step that may not be repeated."""
        if self.state.node(key).status == "ready":
            self.execute(key)
        step = self.definition.step(Key.parse(key).node)
        has_probe = isinstance(step, ActionStep) and step.probe is not None
        self.record(e.StepUncertain(at=self.now, key=key, error={"code": "worker_lost"}, probe=has_probe))
        return self.advance()

    def stop(self, reason: str = "enough", *, how: str = "") -> World:
        self.record(e.CancelRequested(at=self.now, by="ada", reason=reason, how=how))
        return self.advance()

    def pause(self, how: str = "pause") -> World:
        self.record(e.RunPaused(at=self.now, by="ada", reason="wait", how=how))
        return self.advance()

    def resume(self, seconds: float = 0.0) -> World:
        self.now += timedelta(seconds=seconds)
        self.record(e.RunResumed(at=self.now, by="ada"))
        return self.advance()

    def hand_over(self) -> World:
        items = remaining(self.definition, self.state)
        self.record(e.RunHandedOver(at=self.now, by="ada", reason="by hand", items=items))
        return self.advance()

    def tick(self, key: str, choice: str = "done") -> World:
        self.record(e.ItemTicked(at=self.now, key=key, choice=choice, by="ada"))
        return self.advance()

    def skip(self, key: str) -> World:
        inside = inside_keys(self.definition, key)
        self.record(e.StepSkipped(at=self.now, key=key, reason="not now", inside=inside, by="ada"))
        return self.advance()

    def reopen(self) -> World:
        found = reopening(self.definition, self.state, self.now)
        assert not found.refusal, found.refusal
        event = e.RunReopened(at=self.now, by="ada", again=found.again, revived=found.revived)
        self.record(event)
        return self.advance()

    def decide(self, key: str, decision: str, *, goes_on: bool = True) -> World:
        self.record(e.ApprovalDecided(at=self.now, key=key, decision=decision, goes_on=goes_on, by="ada"))
        return self.advance()

    def status(self, key: str) -> str:
        return self.state.node(key).status.value
