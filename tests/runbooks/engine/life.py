"""The life of one run in memory: whatever can happen to it, by the rules by which the real edges let it happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.commands import Record, StartRun, StartStep, start_of
from runbooks.engine.compensation import capture
from runbooks.engine.deadlines import ready_until
from runbooks.engine.deciding import decided
from runbooks.engine.outcomes import Attempted, lost, silent, unsuccessful
from runbooks.engine.plan import plan
from runbooks.engine.reopening import reopening
from runbooks.engine.sampling import judge
from runbooks.engine.skipping import inside_keys, refusal
from runbooks.engine.state import STEP, Key, NodeState, RunState, key_of
from runbooks.engine.steering import WAYS, stop_refusal, stopped, tick_refusal
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ApprovalStep, Json, Runbook, WaitUntilStep
from tests.runbooks.engine.course import Course
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

    def start(self, run: dict[str, Json] | None = None, *, start_within: float | None = None) -> None:
        """Begin, with the deadline that the runbook says."""
        timeout = self.definition.timeout
        deadline = self.now + timedelta(seconds=timeout) if timeout is not None else None
        self.commit(
            e.RunStarted(
                at=self.now,
                inputs=self.inputs,
                alert=self.alert,
                deadline=deadline,
                run=run or {"id": "r"},
                start_within=start_within,
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

    @property
    def has_begun(self) -> bool:
        """Whether it was admitted."""
        return self.state.started_at is not None

    # What is there ------------------------------------------------------------------------------

    def keys(self, *statuses: StepStatus) -> list[str]:
        """The keys of the work in one of these states."""
        return [key for key, node in self.state.nodes.items() if node.status in statuses]

    def claimable(self) -> list[str]:
        """The calls that a worker may take now; in the rows of a paused run none is ready."""
        if self.state.paused:
            return []
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
        """When something becomes due by itself, later than now; in the rows of a paused run no timer is set."""
        if self.state.paused or self.state.started_at is None:
            return []
        moments = [self.state.deadline] if not self.state.ended and not self.state.timed_out else []
        for key, node in self.state.nodes.items():
            if node.in_flight:
                moments += [node.due_at, node.ready_at, node.deadline]
                moments += self._patience(key, node)
        return sorted(moment for moment in moments if moment is not None and moment > self.now)

    def _patience(self, key: str, node: NodeState) -> list[datetime | None]:
        return [ready_until(self.state, self.definition.step(Key.parse(key).node), node)]

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

    def fell_silent(self, key: str) -> e.Event:
        """The call did not show in time that it lives, and its worker has ended it."""
        error: dict[str, Json] = {"code": "heartbeat", "message": "It fell silent.", "retryable": True}
        again = silent(self.attempt(key), error)
        return again or self.failed(key, error, uncertain=True)

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

    # Who steers ---------------------------------------------------------------------------------

    def hold(self, code: str = "slot") -> None:
        """Exist, and wait for admission."""
        self.commit(e.RunHeld(at=self.now, code=code, reason=f"It waits for its {code}."))

    def pause(self) -> None:
        """Somebody holds the run."""
        self.commit(e.RunPaused(at=self.now, by="ada", reason="wait"))

    def resume(self) -> None:
        """Somebody lets a held run go on."""
        self.commit(e.RunResumed(at=self.now, by="ada"))

    def stop(self, how: str) -> None:
        """Somebody stops the run, in one of the four ways."""
        self.commit(stopped(self.definition, self.state, how, by="ada", reason="enough", at=self.now))

    def ways_to_stop(self) -> list[str]:
        """The ways in which the run can be stopped now."""
        return [how for how in WAYS if not stop_refusal(self.definition, self.state, how)]

    def tick(self, key: str, choice: str = "done") -> None:
        """Somebody has dealt with an item of the checklist."""
        self.commit(e.ItemTicked(at=self.now, key=key, choice=choice, by="ada", reason="r"))

    def tickable(self) -> list[str]:
        """The items that somebody can deal with now."""
        return [key for key in self.state.items or () if not tick_refusal(self.state, key)]

    def skip(self, key: str) -> None:
        """Somebody leaves a step out."""
        inside = inside_keys(self.definition, key)
        self.commit(e.StepSkipped(at=self.now, key=key, reason="not now", inside=inside, by="ada"))

    def skippable(self) -> list[str]:
        """The steps that somebody may leave out now, begun or not."""
        known = {key for key in self.state.nodes if Key.parse(key).role == STEP}
        later = {step.id for step in self.definition.walk()}
        inner = {
            key_of(step.id, Key.parse(around).iteration)
            for around in known
            for step in self.definition.step(Key.parse(around).node).children()
        }
        found = sorted(known | later | inner)
        return [key for key in found if not refusal(self.definition, self.state, key)]

    def reopen(self) -> None:
        """Somebody resumes the run after its end."""
        found = reopening(self.definition, self.state, self.now)
        timeout = self.definition.timeout
        deadline = self.now + timedelta(seconds=timeout) if timeout is not None else None
        self.commit(
            e.RunReopened(
                at=self.now, by="ada", reason="mended", again=found.again, revived=found.revived,
                deadline=deadline,
            )
        )  # fmt: skip

    def may_reopen(self) -> bool:
        """Whether the run may be resumed after its end."""
        return not reopening(self.definition, self.state, self.now).refusal


def awaits_somebody(node: NodeState) -> bool:
    """Whether a person is to say something about it."""
    return node.status in (S.AWAITING_APPROVAL, S.AWAITING_HUMAN) or (
        node.status == S.UNCERTAIN and node.asks_human
    )
