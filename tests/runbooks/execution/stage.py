"""A stage for the executing engine: a published runbook, somebody who starts it, a worker in this process."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

from handrail.accounts.models import Project
from handrail.shared.actors import Actor
from runbooks import runs, versions
from runbooks.execution.claim import claim_steps
from runbooks.execution.complete import Done, complete_all
from runbooks.execution.drive import Driver
from runbooks.execution.effect import Ended
from runbooks.execution.fate import Written
from runbooks.execution.gate import Work
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.models import Run, Runbook, RunEvent, StepRun
from runbooks.steps import registry
from runbooks.steps.base import Action, ActionContext, Outcome, Success


def document(steps: str, slug: str = "a-runbook", rest: str = "") -> str:
    """A runbook document around these steps (YAML, flush left)."""
    indented = "\n".join(f"  {line}" for line in steps.strip().splitlines())
    return (
        f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {slug}, title: A runbook}}\n{rest}\n"
        f"steps:\n{indented}\n"
    )


HEARTS: list[Heart] = []
"""The hearts that a test has set beating."""


def a_driver(*pools: str) -> Driver:
    """A worker of its own."""
    me = Me.in_pools(*pools)
    HEARTS.append(Heart(me))
    return Driver(me, HEARTS[-1])


def claim_step(step_id: uuid.UUID, me: Me) -> Work | None:
    """Claim and gate one step, as a worker that has room for one call; None when there is nothing to do."""
    return next(iter(claim_steps(step_id, me)), None)


def complete(work: Work, ended: Ended, me: Me, *, before: Written | None = None) -> Work | None:
    """Write how one call ended and take what comes next; None when there is nothing for this worker."""
    return next(iter(complete_all([Done(work, ended)], me, before=before)), None)


@dataclass
class Stage:
    """``actor`` may do everything in ``project``; ``driver`` is a worker of the pool `default`."""

    project: Project
    actor: Actor
    driver: Driver = field(default_factory=a_driver)

    def publish(self, steps: str, slug: str = "a-runbook", rest: str = "") -> Runbook:
        """Publish a runbook with these steps."""
        made = versions.create(self.project, document(steps, slug, rest), actor=self.actor)
        versions.publish(made, actor=self.actor, message="first")
        made.refresh_from_db()
        return made

    def start(self, runbook: Runbook, **inputs: Json) -> Run:
        """Start a run of it."""
        return runs.start(runbook, inputs=inputs, actor=self.actor).run

    def drive(self, run: Run) -> int:
        """Do every step that is ready, until none is; how many calls were made."""
        made, idle = 0, 0
        while ready := ready_steps(run):
            done = sum(self.driver.drive(step_id) for step_id in ready)
            idle = 0 if done else idle + 1
            assert idle < ENOUGH, f"nobody can claim {ready}"
            made += done
        run.refresh_from_db()
        return made


ENOUGH = 1_000
"""Looks at ready steps without a call, after which none will come of it."""


def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait until it is so; the database's clock cannot be turned forward."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        pause.wait(0.01)


def ready_steps(run: Run) -> list[uuid.UUID]:
    """The steps that a worker may claim."""
    return list(StepRun.objects.filter(run=run, state="ready").values_list("pk", flat=True))


def states(run: Run) -> dict[str, str]:
    """The state of every row of the run; a compensation is ``step/compensate``."""
    return {
        step.node if step.role == "step" else f"{step.node}/{step.role}": step.state
        for step in StepRun.objects.filter(run=run)
    }


def history(run: Run) -> list[str]:
    """The run's events, as ``type`` or ``type key``."""
    return [
        f"{event.type} {event.data['key']}" if "key" in event.data else event.type
        for event in RunEvent.objects.filter(run=run)
    ]


@dataclass(frozen=True)
class _Inputs:
    values: dict[str, Json]


class Scripted(Action[_Inputs]):
    """``test.call``: does what the test says: an outcome, or a function of the context."""

    spec = ActionSpec(
        name="test.call",
        title="A call of a test",
        inputs_schema={"type": "object"},
        effect=Effect.REVERSIBLE,
        may_be_idempotent=True,
    )
    script: ClassVar[dict[str, list[object]]] = {}
    calls: ClassVar[list[tuple[str, dict[str, Json], str]]] = []
    reached: ClassVar[str] = "test"

    def read(self, rendered: object) -> _Inputs:
        assert isinstance(rendered, dict)
        return _Inputs(rendered)

    def preview(self, inputs: _Inputs, context: ActionContext) -> str:
        return f"call with {inputs.values}"

    def target(self, inputs: _Inputs) -> str:
        return self.reached

    def execute(self, inputs: _Inputs, context: ActionContext) -> Outcome:
        self.calls.append((context.node, inputs.values, context.idempotency_key))
        planned = self.script.get(context.node)
        wanted = planned.pop(0) if planned else Success({"said": inputs.values})
        found = wanted(context) if callable(wanted) else wanted
        assert not isinstance(found, BaseException)
        return found  # type: ignore[return-value]


class ScriptedRead(Scripted):
    """``test.read``: the same, reading."""

    spec = replace(Scripted.spec, name="test.read", effect=Effect.READ, idempotent=True)


@contextmanager
def scripted(**script: list[object]) -> Iterator[type[Scripted]]:
    """Register ``test.call`` with what it shall do, step by step, for the time of a test."""
    registry.load()
    registry.register(Scripted)
    registry.register(ScriptedRead)
    Scripted.script = {node: list(outcomes) for node, outcomes in script.items()}
    Scripted.calls.clear()
    try:
        yield Scripted
    finally:
        registry.ACTIONS.pop(Scripted.spec.name, None)
        registry.ACTIONS.pop(ScriptedRead.spec.name, None)
