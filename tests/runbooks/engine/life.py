"""The life of one run in memory: whatever can happen to it, by the rules by which the real edges let it happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.commands import Record, StartRun, StartStep, start_of
from runbooks.engine.compensation import capture
from runbooks.engine.deciding import decided
from runbooks.engine.outcomes import Attempted, lost, unsuccessful
from runbooks.engine.plan import plan
from runbooks.engine.sampling import judge
from runbooks.engine.state import STEP, Key, NodeState, RunState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ApprovalStep, Json, Runbook, WaitUntilStep
from tests.runbooks.engine.invariants import Course
from tests.runbooks.engine.world import START

S = StepStatus


@dataclass
class Life:
    """One run. Each verb is one commit: what happened, and everything that the plan makes of it."""

    definition: Runbook
    inputs: dict[str, Json] = field(default_factory=dict)
    alert: dict[str, Json] | None = None
    now: datetime = START
    state: RunState = field(default_factory=RunState)
    history: list[e.Event] = field(default_factory=list)
    states: list[RunState] = field(default_factory=list)
    planned: list[e.Event] = field(default_factory=list)
    children: int = 0

    # Commits ------------------------------------------------------------------------------------

    def start(self, run: dict[str, Json] | None = None) -> None:
        """Begin, with the deadline that the runbook says."""
        timeout = self.definition.timeout
        deadline = self.now + timedelta(seconds=timeout) if timeout is not None else None
        self.commit(
            e.RunStarted(
                at=self.now, inputs=self.inputs, alert=self.alert, deadline=deadline, run=run or {"id": "r"}
            )
        )

    def commit(self, *events: e.Event) -> None:
        """Record what happened, and go as far as the plan does."""
        for event in events:
            self._record(event)
        self.advance()

    def advance(self) -> None:
        """Obey the plan; once is enough, which an invariant makes sure of."""
        for command in plan(self.definition, self.state, self.now):
            if isinstance(command, Record):
                self.planned.append(command.event)
                self._record(command.event)
            elif isinstance(command, StartStep):
                self._record(
                    e.StepScheduled(at=self.now, key=command.key, attempt=command.attempt, ready_at=self.now)
                )
            elif isinstance(command, StartRun):
                self.children += 1
                self._record(
                    e.SubrunStarted(
                        at=self.now, key=command.key, run=f"child-{self.children}", deadline=command.deadline
                    )
                )
            else:
                self._record(self._asked(command.key, command.step, command.round))

    def _asked(self, key: str, step: ApprovalStep, round_: int) -> e.ApprovalAsked:
        expires = self.now + timedelta(seconds=step.timeout) if step.timeout is not None else None
        return e.ApprovalAsked(
            at=self.now, key=key, approval=f"{key}-{round_}", digest="d", round=round_, expires_at=expires
        )

    def _record(self, event: e.Event) -> None:
        self.state = apply(self.state, event)
        self.history.append(event)
        self.states.append(self.state)

    @property
    def course(self) -> Course:
        """What the invariants judge."""
        return Course(self.definition, self.history, self.states, self.planned, self.now)

    # What is there ------------------------------------------------------------------------------

    def keys(self, *statuses: StepStatus) -> list[str]:
        """The keys of the work in one of these states."""
        return [key for key, node in self.state.nodes.items() if node.status in statuses]

    def claimable(self) -> list[str]:
        """The calls that a worker may take now."""
        found = [(key, self.state.node(key).ready_at) for key in self.keys(S.READY)]
        return [key for key, ready_at in found if ready_at is None or ready_at <= self.now]

    def executing(self) -> list[str]:
        """The calls in the hands of workers."""
        return [key for key in self.keys(S.EXECUTING) if self.is_call(key)]

    def is_call(self, key: str) -> bool:
        """Whether a worker does this work."""
        return self.state.node(key).attempt > 0

    def subruns(self) -> list[str]:
        """The steps that wait for other runs."""
        return [key for key in self.keys(S.EXECUTING) if self.state.node(key).run]

    def command(self, key: str) -> StartStep:
        """The call that a key names."""
        return start_of(key, self.definition.step(Key.parse(key).node))

    def due(self) -> list[datetime]:
        """When something becomes due by itself, later than now."""
        moments = [self.state.deadline] if not self.state.ended and not self.state.timed_out else []
        for node in self.state.nodes.values():
            if node.in_flight:
                moments += [node.due_at, node.ready_at, node.deadline]
        return sorted(moment for moment in moments if moment is not None and moment > self.now)

    # What workers do ----------------------------------------------------------------------------

    def started(self, key: str, *, fence: int = 1, worker: str = "w") -> e.Event:
        """The gate let the call through."""
        attempt = self.state.node(key).attempt
        return e.StepStarted(at=self.now, key=key, attempt=attempt, fence=fence, worker=worker)

    def succeeded(self, key: str, outputs: Json) -> list[e.Event]:
        """The call returned; of a `wait_until` that is one sample."""
        step = self.definition.step(Key.parse(key).node)
        node = self.state.node(key)
        if isinstance(step, WaitUntilStep):
            if node.cancelling:
                return [e.StepCancelled(at=self.now, key=key, reason=node.reason)]
            return judge(self.definition, self.state, (key, step), outputs, self.now)
        captured = None
        if Key.parse(key).role == STEP:
            captured = capture(self.definition, key, self.state, outputs)
        return [e.StepSucceeded(at=self.now, key=key, outputs=outputs, compensate=captured)]

    def failed(self, key: str, error: dict[str, Json], *, uncertain: bool = False) -> e.Event:
        """The call did not succeed; ``uncertain``: it may have had its effect."""
        return unsuccessful(self.attempt(key), error, uncertain=uncertain, stopped=False, random=1.0)

    def lost(self, key: str) -> e.Event:
        """The lease ran out and the sweeper takes the step back."""
        return lost(self.attempt(key))

    def attempt(self, key: str, *, fence: int = 1, worker: str = "w") -> Attempted:
        """The attempt that is under way."""
        return Attempted(self.command(key), self.state.node(key), fence, worker, self.now)

    # What people do -----------------------------------------------------------------------------

    def voted(self, key: str, decision: str) -> e.Event:
        """The approval is decided, and what that means for its sequence."""
        step = self.definition.step(Key.parse(key).node)
        assert isinstance(step, ApprovalStep)
        goes_on = decision == "approved" or (
            step.on_reject == "continue" and not (decision == "expired" and step.on_timeout == "fail")
        )
        return e.ApprovalDecided(at=self.now, key=key, decision=decision, goes_on=goes_on, by="ada")

    def decided(self, key: str, choice: str) -> e.Event:
        """Somebody says what became of a step in doubt."""
        return decided(self.definition, self.state, (key, choice), by="ada", reason="r", at=self.now)

    def child_ended(self, key: str, status: str) -> e.Event:
        """The other run is over."""
        error: dict[str, Json] | None = None
        if status != "succeeded":
            error = {"code": "broken", "message": "It broke.", "retryable": False}
        return e.SubrunFinished(at=self.now, key=key, status=status, error=error)


def awaits_somebody(node: NodeState) -> bool:
    """Whether a person is to say something about it."""
    return node.status in (S.AWAITING_APPROVAL, S.AWAITING_HUMAN) or (
        node.status == S.UNCERTAIN and node.asks_human
    )
