"""The walk over a runbook that finds what comes next: phases, sequences, and one visit per kind of step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.commands import AskApproval, Command, FinishRun, Record, StartRun, StartTimer, start_of
from runbooks.engine.compensation import capture, inside, order_of_run, stuck, stuck_inside
from runbooks.engine.deadlines import overdue
from runbooks.engine.flow import Flow, Halt, error_of, stops
from runbooks.engine.handover import dealt_in_words, leave_to_people
from runbooks.engine.names import names
from runbooks.engine.probing import answer_of
from runbooks.engine.state import COMPENSATE, PROBE, UNDO, Key, NodeState, RunState, deeper, key_of
from runbooks.engine.transitions import RunStatus, StepStatus
from runbooks.engine.words import explain
from runbooks.language.definition import (
    ActionStep,
    ApprovalStep,
    FailStep,
    Json,
    ManualStep,
    Runbook,
    SetStep,
    Step,
    SubrunStep,
    WaitStep,
)
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import condition, evaluate, render, render_text

S = StepStatus


class Planner:
    """One walk. ``commands`` grow; ``state`` already contains what the recorded ones say."""

    def __init__(
        self, definition: Runbook, state: RunState, now: datetime, blocks: Mapping[str, Block]
    ) -> None:
        """Nothing is done before :meth:`advance`. ``blocks`` says how to take steps that hold steps."""
        self.definition = definition
        self.blocks = blocks
        self.state = state
        self.now = now
        self.iteration = ""
        self.commands: list[Command] = []

    # The place ----------------------------------------------------------------------------------

    def key(self, step: Step) -> str:
        """The key of a step in the iteration through which the walk goes."""
        return f"{step.id}[{self.iteration}]" if self.iteration else step.id

    def node(self, step: Step) -> NodeState:
        """The state of a step in the iteration through which the walk goes."""
        return self.state.node(self.key(step))

    def names(self, step: Step, **local: object) -> dict[str, object]:
        """What the step's expressions may read."""
        return names(self.definition, self.state, self.key(step), **local)

    @contextmanager
    def item(self, n: int) -> Iterator[None]:
        """Walk through item ``n`` of the loop at which the walk is."""
        outer = self.iteration
        self.iteration = deeper(outer, n)
        try:
            yield
        finally:
            self.iteration = outer

    # The run ------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Walk the phases: the steps, ``on_failure`` if they failed, the undoing if a stop wants it, ``finally``."""
        if self.state.ended or self.state.status == RunStatus.PENDING:
            return
        if self.state.paused:
            if self.state.items is not None and leave_to_people(self):
                self._finish()
            return
        if self.state.started_at is None:
            # Stopped before it began: nothing is to be cleaned up.
            self._finish()
            return
        if self._is_late(self.state.deadline) and self.state.phase == "steps" and not self.state.timed_out:
            self.record(e.RunTimedOut(at=self.now))
        if self.state.phase == "steps" and not self._main_steps():
            return
        if self.state.phase == "on_failure" and not self._phase("on_failure", self.definition.on_failure):
            return
        if self.state.phase == UNDO and not self._undone():
            return
        if self.state.phase == "finally" and self.sequence(self.definition.finally_, None) is Flow.OPEN:
            return
        self._finish()

    def _main_steps(self) -> bool:
        """Whether the main steps are over; what follows is entered."""
        flow = self.sequence(self.definition.steps, self._halt())
        if flow is Flow.OPEN:
            return False
        if self.state.undoes:
            self._begin_undoing()
            return True
        failed = flow is Flow.STOPPED and not self.state.cancelling
        error = self._failure() if failed else None
        if error is not None and self.definition.on_failure:
            self.record(e.PhaseEntered(at=self.now, phase="on_failure", error=error))
        elif self.definition.finally_:
            self.record(e.PhaseEntered(at=self.now, phase="finally", error=error))
        return True

    def _phase(self, name: str, steps: Sequence[Step]) -> bool:
        halt = Halt(self._stop_reason()) if self.state.cancelling else None
        if self.sequence(steps, halt) is Flow.OPEN:
            return False
        if self.state.undoes:
            self._begin_undoing()
        elif self.definition.finally_ and self.state.phase == name:
            self.record(e.PhaseEntered(at=self.now, phase="finally"))
        return True

    def _begin_undoing(self) -> None:
        """Fix what is undone, and in which order. What was half undone, by its group or its run, stands in the way."""
        blocked = stuck(self.definition, self.state)
        words = "A step could not be undone."
        if not blocked and (blocked := stuck_inside(self.definition, self.state)):
            told = (self.state.node(blocked).error or {}).get("message")
            words = f"The run that {blocked} had started could not undo what it did: {told}"
        self.record(
            e.RunUndoing(
                at=self.now,
                order=[] if blocked else order_of_run(self.definition, self.state),
                error={**error_of("compensation_failed", words), "step": blocked} if blocked else None,
            )
        )

    def _undone(self) -> bool:
        """Whether the undoing is over, or has failed; one step after another, the next when the last is undone."""
        for undone in self.state.undoing:
            place = Key.parse(undone)
            key, step = key_of(place.node, place.iteration, COMPENSATE), self.definition.step(place.node)
            work = self.state.node(key)
            if work.status == S.PENDING:
                self.commands.append(start_of(key, step))
            if not work.ended and not self.give_up_waiting(key, step):
                return False
            work = self.state.node(key)
            if work.status != S.SUCCEEDED:
                break
        if self.definition.finally_:
            self.record(e.PhaseEntered(at=self.now, phase="finally"))
        return True

    def _undo_failure(self) -> Json:
        """Why not everything was undone that a stop wanted undone; None if all was."""
        for undone in self.state.undoing:
            place = Key.parse(undone)
            work = self.state.node(key_of(place.node, place.iteration, COMPENSATE))
            if work.ended and work.status != S.SUCCEEDED:
                told = (work.error or {}).get("message") or f"its undoing was {work.status.value}"
                words = f"The run was stopped, but {undone} could not be undone: {told}"
                return {**error_of("compensation_failed", words), "step": undone}
        return dict(self.state.undo_error) if self.state.undo_error is not None else None

    def _halt(self) -> Halt | None:
        if self.state.cancelling:
            return Halt(self._stop_reason())
        return Halt("The run's deadline passed.") if self.state.timed_out else None

    def _stop_reason(self) -> str:
        return (
            f"The run was stopped: {self.state.cancel_reason}"
            if self.state.cancel_reason
            else "The run was stopped."
        )

    def _failure(self) -> dict[str, Json]:
        """Why the main steps failed: the run's deadline, or the step at which they stopped."""
        if self.state.timed_out:
            return error_of("run_timed_out", "The run took longer than its timeout.")
        return self.failure_of(self.definition.steps)

    def failure_of(self, steps: Sequence[Step]) -> dict[str, Json]:
        """The error of the first step at which this sequence stops, with the step's id."""
        for step in steps:
            node = self.node(step)
            if node.ended and stops(step, node):
                error = node.error or error_of(
                    node.status.value, f"The step {step.id} was {node.status.value}."
                )
                return error if "step" in error else {**error, "step": step.id}
        return error_of("failed", "A step failed.")

    def _finish(self) -> None:
        status, error = self._end()
        context = names(self.definition, self.state)
        outcome: dict[str, Json] = {}
        judged = self.definition.outcome if self.state.started_at is not None else {}
        for name, expression in judged.items():
            try:
                outcome[name] = condition(expression, context, path=f"outcome.{name}")
            except ExpressionError:
                outcome[name] = None
        event = e.RunFinished(
            at=self.now, status=status.value, outcome=outcome, error=error, outputs=self._outputs(context)
        )
        self.commands.append(FinishRun(event))
        self.state = apply(self.state, event)

    def _outputs(self, context: Mapping[str, object]) -> dict[str, Json] | None:
        """What the run gives to the one that started it; what cannot be told is null."""
        found: dict[str, Json] = {}
        if self.state.started_at is None:
            return None
        for name, template in self.definition.outputs.items():
            try:
                found[name] = render(template, context, path=f"outputs.{name}")
            except ExpressionError:
                found[name] = None
        return found or None

    def _end(self) -> tuple[RunStatus, Json]:
        if self.state.items is not None:
            return RunStatus.CANCELLED, error_of("handed_over", dealt_in_words(self.state))
        if self.state.cancelling:
            failure = self._undo_failure()
            if failure is not None:
                return RunStatus.FAILED, failure
            return RunStatus.CANCELLED, error_of("cancelled", self._stop_reason())
        error = self.state.error
        if error is None and (self.state.timed_out or self._stopped_in(self.definition.steps)):
            error = self._failure()
        if error is None and self._stopped_in(self.definition.finally_):
            error = self.failure_of(self.definition.finally_)
        return (RunStatus.SUCCEEDED, None) if error is None else (RunStatus.FAILED, error)

    def _stopped_in(self, steps: Sequence[Step]) -> bool:
        return any(self.node(step).ended and stops(step, self.node(step)) for step in steps)

    # Recording ----------------------------------------------------------------------------------

    def record(self, event: e.Event) -> None:
        """Decide something in memory: the commands carry the event, the state has it already."""
        self.commands.append(StartTimer(event) if isinstance(event, e.TimerStarted) else Record(event))
        self.state = apply(self.state, event)

    def fail(
        self, step: Step, error: dict[str, Json], *, timed_out: bool = False, fatal: bool = False
    ) -> Flow:
        """The step fails here and now."""
        self.record(
            e.StepFailed(at=self.now, key=self.key(step), error=error, timed_out=timed_out, fatal=fatal)
        )
        return self.verdict(step)

    def succeed(self, step: Step, outputs: Json) -> Flow:
        """The step succeeds here and now."""
        self.record(e.StepSucceeded(at=self.now, key=self.key(step), outputs=outputs))
        return Flow.PASSED

    def verdict(self, step: Step) -> Flow:
        """What a step that has ended means for its sequence."""
        return Flow.STOPPED if stops(step, self.node(step)) else Flow.PASSED

    def _is_late(self, deadline: datetime | None) -> bool:
        return deadline is not None and self.now >= deadline

    # Sequences and visits -----------------------------------------------------------------------

    def sequence(self, steps: Sequence[Step], halt: Halt | None) -> Flow:
        """Walk steps in order up to the first that is open or stops; under a halt start nothing."""
        for step in steps:
            node = self.state.nodes.get(self.key(step))
            if node is None or node.status == S.PENDING:
                if halt is not None:
                    continue
            elif node.status == S.SUCCEEDED:
                continue
            flow = self.visit(step, halt)
            if flow is Flow.OPEN or (flow is Flow.STOPPED and halt is None):
                return flow
        return Flow.PASSED if halt is None else Flow.STOPPED

    def visit(self, step: Step, halt: Halt | None) -> Flow:
        """Take one step as far as it goes now."""
        node = self.node(step)
        if node.ended:
            return self.verdict(step)
        if node.status == S.PENDING:
            settled = self._left_out(step)
            if settled is not None:
                return settled
        block = self.blocks.get(step.kind)
        if block is not None:
            return block(self, step, halt)
        return self._begin(step) if node.status == S.PENDING else self._follow(step, node, halt)

    def _left_out(self, step: Step) -> Flow | None:
        """Skip the step if it is disabled or its ``when`` is false; fail it if that cannot be told."""
        if step.disabled:
            return self.skip(step, "The step is disabled.")
        if step.when is None:
            return None
        context = self.names(step)
        try:
            wanted = condition(step.when, context, path=f"{step.path}.when")
        except ExpressionError as error:
            return self.fail(step, error_of("expression", str(error)))
        if wanted:
            return None
        values = explain(step.when, context)
        return self.skip(step, f"`{step.when}` is false" + (f": {values}." if values else "."))

    def skip(self, step: Step, reason: str) -> Flow:
        """The step is left out, with what stands inside it."""
        within = self.inner_keys(step, inside(step))
        self.record(e.StepSkipped(at=self.now, key=self.key(step), reason=reason[:500], inside=within))
        return Flow.PASSED

    def inner_keys(self, step: Step, inner: Iterable[Step]) -> list[str]:
        """The keys of these steps inside a step, but for those in a loop: they have no state before it has items."""
        places = self.definition.places
        depth = len(places[step.id].loops)
        return [self.key(one) for one in inner if len(places[one.id].loops) == depth]

    def _begin(self, step: Step) -> Flow:
        """Start a pending step that is no block."""
        if isinstance(step, ApprovalStep):
            self.commands.append(AskApproval(self.key(step), step, self.node(step).round + 1))
            return Flow.OPEN
        try:
            if isinstance(step, WaitStep):
                self.record(e.TimerStarted(at=self.now, key=self.key(step), due_at=self._due(step)))
                return self._follow(step, self.node(step), None)
            if isinstance(step, ManualStep):
                prompt = render_text(step.prompt, self.names(step), path=f"{step.path}.prompt")
                due_at = self.now + timedelta(seconds=step.timeout) if step.timeout is not None else None
                self.record(
                    e.ManualAsked(at=self.now, key=self.key(step), prompt=prompt[:5_000], due_at=due_at)
                )
                return Flow.OPEN
            if isinstance(step, SubrunStep):
                inputs = render(dict(step.inputs), self.names(step), path=f"{step.path}.inputs")
                deadline = self.now + timedelta(seconds=step.timeout) if step.timeout is not None else None
                given = inputs if isinstance(inputs, dict) else {}
                self.commands.append(StartRun(self.key(step), step, given, deadline))
                return Flow.OPEN
            if isinstance(step, SetStep):
                values = render(dict(step.values), self.names(step), path=f"{step.path}.values")
                return self.succeed(step, values)
            if isinstance(step, FailStep):
                message = render_text(step.message, self.names(step), path=f"{step.path}.message")
                return self.fail(step, error_of("failed", message), fatal=True)
        except ExpressionError as error:
            # A `fail` step ends the run, also when nobody can read its message.
            return self.fail(step, error_of("expression", str(error)), fatal=isinstance(step, FailStep))
        self.commands.append(start_of(self.key(step), step))
        return Flow.OPEN

    def _due(self, step: WaitStep) -> datetime:
        """When the timer fires. Raises ExpressionError for an ``until`` that is no time."""
        if step.until is None:
            return self.now + timedelta(seconds=step.for_ or 0.0)
        path = f"{step.path}.until"
        text = evaluate(step.until, self.names(step), path=path)
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else None
            # In other zones the first and the last day reach beyond the years that there are.
            moment = moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
        except (ValueError, OverflowError):
            moment = None
        if moment is None:
            raise ExpressionError(
                "wrong_type",
                f"{text!r} is not a time with a zone, such as 2030-01-31T09:00:00Z.",
                step.until,
                path=path,
            )
        return moment

    def _follow(self, step: Step, node: NodeState, halt: Halt | None) -> Flow:
        """A step that was begun: stop it under a halt, fire its timer, ask its probe, or wait on."""
        if halt is not None:
            return self.halt_step(self.key(step), step, halt)
        if self.give_up_waiting(self.key(step), step):
            return self.verdict(step)
        if isinstance(step, WaitStep) and self._is_late(node.due_at):
            waited = (self.now - (node.started_at or self.now)).total_seconds()
            return self.succeed(step, {"waited": waited})
        if isinstance(step, ManualStep) and self._is_late(node.due_at):
            error = error_of("timed_out", f"Nobody confirmed it within {step.timeout:g} s.")
            return self.fail(step, error, timed_out=True)
        if isinstance(step, SubrunStep) and self._is_late(node.deadline):
            return self.halt_step(self.key(step), step, Halt("The time of the step is over."))
        if isinstance(step, ActionStep) and node.status == S.UNCERTAIN:
            return self.resolve_uncertain(self.key(step), step)
        return Flow.OPEN

    def give_up_waiting(self, key: str, step: Step) -> bool:
        """Whether a call has waited for a worker for too long: then it has failed."""
        error = overdue(self.definition, self.state, step, self.state.node(key), self.now)
        if error is not None:
            self.record(e.StepFailed(at=self.now, key=key, error=error, timed_out=True))
        return error is not None

    def halt_step(self, key: str, step: Step, halt: Halt) -> Flow:
        """Stop a piece of work: what executes is told and ends truthfully, the rest is cancelled."""
        node = self.state.node(key)
        if node.status == S.UNCERTAIN:
            if not self.state.undoes or not isinstance(step, ActionStep):
                # It waits for a human; `finally` must not wait for that human, too.
                return Flow.STOPPED
            # What is undone, and in which order, depends on whether this one happened.
            self.resolve_uncertain(key, step)
            node = self.state.node(key)
            if node.status == S.UNCERTAIN:
                return Flow.OPEN
            if node.ended:
                return Flow.STOPPED
        if node.status == S.EXECUTING:
            if not node.cancelling:
                self.record(e.StepCancelRequested(at=self.now, key=key, reason=halt.reason[:500]))
            return Flow.OPEN
        self.record(e.StepCancelled(at=self.now, key=key, reason=halt.reason[:500]))
        return Flow.STOPPED

    def resolve_uncertain(self, key: str, step: ActionStep) -> Flow:
        """Ask the probe of an uncertain step, and act on its answer; without one a human is waited for."""
        node = self.state.node(key)
        if step.probe is None or node.asks_human or key != self.key(step):
            return Flow.OPEN
        probe_key = key_of(step.id, self.iteration, PROBE)
        probe = self.state.node(probe_key)
        if probe.status == S.PENDING:
            self.commands.append(start_of(probe_key, step))
        elif probe.ended or self.give_up_waiting(probe_key, step):
            probe = self.state.node(probe_key)
            verdict, words = answer_of(step, probe, self.names(step, result=probe.outputs))
            done = verdict == "done"
            outputs = probe.outputs if done else None
            captured = capture(self.definition, key, self.state, outputs) if done else None
            self.record(
                e.StepProbed(
                    at=self.now, key=key, verdict=verdict, words=words[:500], outputs=outputs,
                    compensate=captured,
                )
            )  # fmt: skip
            return self.verdict(step) if self.state.node(key).ended else Flow.OPEN
        return Flow.OPEN


Block = Callable[[Planner, Step, Halt | None], Flow]
"""How a block is taken as far as it goes now."""
