"""A run step by step, in the order as written: also the steps that nothing has happened to yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Prefetch, Q

from handrail.shared.artifacts import ArtifactMissing, expand
from handrail.shared.clock import now
from handrail.shared.errors import Invalid
from runbooks.engine.state import COMPENSATE, PROBE, STEP, key_of
from runbooks.language.definition import ActionStep, ForEachStep, Runbook, Step, WaitUntilStep
from runbooks.models import Approval, LogLine, Run, RunEvent, StepAttempt, StepRun
from runbooks.queries.items import label_of, tally
from runbooks.versions import definition_of

_QUIET = ("succeeded", "skipped")

PENDING = "pending"
"""The state of a step without a row."""

PHASES = {"steps": "", "on_failure": "If it fails", "finally": "In the end, always"}
"""The parts of a runbook, and their headings."""

MOST_LOG_LINES = 1000
"""Lines of a step's log on a page: the last ones."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One entry of a step's history, in words. ``n`` is its place in the run's history.

    ``target``: what a call that began acts upon, as kill switches and limits name it.
    """

    n: int
    at: datetime
    words: str
    detail: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a run: as written, and what became of it.

    ``number`` counts the steps that do something (not the blocks around them) in their phase, from 1.
    ``state`` is a state of ``StepRun``, or ``pending``. Of a step in a loop, and of the loop, ``iterations`` are
    the items that were begun (``node`` is then such as ``shift[3]``), ``tally`` says how far they have come.
    """

    node: str
    title: str
    kind: str
    uses: str = ""
    effect: str = ""
    phase: str = "steps"
    parent: str = ""
    depth: int = 0
    number: int | None = None
    when: str = ""
    state: str = PENDING
    row: StepRun | None = None
    compensation: StepRun | None = None
    probe: StepRun | None = None
    approval: Approval | None = None
    attempts: Sequence[StepAttempt] = field(default_factory=tuple)
    iterations: Sequence[StepView] = field(default_factory=tuple)
    tally: str = ""
    item: str = ""

    @property
    def rows(self) -> list[StepRun]:
        """What was begun of it: itself, its undoing, its probe."""
        return [row for row in (self.row, self.compensation, self.probe) if row is not None]

    @property
    def telling(self) -> list[StepView]:
        """The iterations that have not simply succeeded or been left out, in their order."""
        return [view for view in self.iterations if view.state not in _QUIET]

    @property
    def quiet(self) -> list[StepView]:
        """The other iterations."""
        return [view for view in self.iterations if view.state in _QUIET]

    @property
    def took(self) -> timedelta | None:
        """How long it took, or takes so far; None before it began."""
        if self.row is None or self.row.started_at is None:
            return None
        return (self.row.ended_at or now()) - self.row.started_at

    @property
    def is_block(self) -> bool:
        """Whether it only holds other steps."""
        return self.number is None

    @property
    def attempt(self) -> int:
        """Attempts so far."""
        return self.row.attempt if self.row is not None else 0


def steps_of(run: Run) -> list[StepView]:
    """Every step of the run in document order, nested ones after their block. Four queries, with a loop five."""
    attempts = Prefetch("attempts", queryset=StepAttempt.objects.order_by("number", "fence"))
    definition = definition_or_none(run)
    once = run.steps.filter(iteration="").prefetch_related(attempts)
    rows = list(once.order_by("created_at", "pk"))
    repeated: list[StepRun] = []
    if definition is None or any(place.step.repeats for place in definition.places.values()):
        several = run.steps.exclude(iteration="").defer("inputs", "outputs")
        repeated = list(several.order_by("created_at", "pk"))
    approvals: dict[object, Approval] = {}
    for approval in Approval.objects.filter(run=run).prefetch_related("votes").order_by("round"):
        approval.run = run
        approvals[approval.step_id] = approval
    for row in (*rows, *repeated):
        if (asked := approvals.get(row.pk)) is not None:
            asked.step = row
    by_place: dict[tuple[str, str], StepRun] = {}
    for row in rows:
        by_place[row.node, row.role] = row
    if definition is None:
        return [_of_row(row, approvals) for row in (*rows, *repeated) if row.role == STEP]
    views = list(_of_definition(definition, by_place, approvals))
    return with_iterations(definition, views, repeated, approvals) if repeated else views


def read_inputs(rows: Iterable[StepRun]) -> None:
    """Read the inputs of rows that came without them, such as those of loops, in one query for all."""
    without = [row for row in rows if "inputs" in row.get_deferred_fields()]
    if without:
        found = dict(StepRun.objects.filter(pk__in=[row.pk for row in without]).values_list("pk", "inputs"))
        for row in without:
            row.inputs = found.get(row.pk)


def with_iterations(
    definition: Runbook,
    views: Sequence[StepView],
    rows: Iterable[StepRun],
    approvals: Mapping[object, Approval],
) -> list[StepView]:
    """The views, those of loops and of what is in them with their iterations, in the order of the items."""
    by_node: dict[str, dict[tuple[int, ...], dict[str, StepRun]]] = {}
    for row in rows:
        place = tuple(int(n) for n in row.iteration.split("."))
        by_node.setdefault(row.node, {}).setdefault(place, {})[row.role] = row
    labels = {view.node: _labels(view.row) for view in views if view.row is not None}
    over = {view.node for view in views if view.row is not None and view.row.ended_at is not None}
    found: list[StepView] = []
    for view in views:
        around = definition.places[view.node].loops
        depth = len(around) + definition.step(view.node).repeats
        outermost = (*around, view.node)[0]
        iterations = [
            _iteration(view, place, roles, labels.get(outermost, {}), approvals)
            for place, roles in sorted(by_node.get(view.node, {}).items())
            if len(place) == depth and STEP in roles
        ]
        if not iterations:
            found.append(view)
            continue
        states = [one.state for one in iterations]
        of = len(labels.get(outermost, {})) if depth == 1 else len(states)
        # Once the loop is over, the items that never came to this step never will.
        to_come = len(states) < of and outermost not in over
        state = view.state if view.row is not None else combined({*states, *([PENDING] if to_come else [])})
        found.append(replace(view, iterations=tuple(iterations), tally=tally(states, of), state=state))
    return found


def _labels(row: StepRun) -> dict[int, str]:
    """What the items of a loop are called, by their number."""
    try:
        held = expand((row.inputs or {}).get("items")) if row.kind == ForEachStep.kind else None
    except ArtifactMissing:
        held = None
    return {n: label_of(item, n) for n, item in enumerate(held)} if isinstance(held, list) else {}


def _iteration(
    view: StepView,
    place: tuple[int, ...],
    rows: Mapping[str, StepRun],
    labels: Mapping[int, str],
    approvals: Mapping[object, Approval],
) -> StepView:
    """A step, or a loop, as it is for one item."""
    row = rows[STEP]
    inner = f" / {'.'.join(str(n + 1) for n in place[1:])}" if place[1:] else ""
    label = labels.get(place[0], f"item {place[0] + 1}") + inner
    return replace(
        view,
        node=key_of(row.node, row.iteration),
        title=f"{view.title}: {label}",
        item=label,
        state=str(row.state),
        row=row,
        compensation=rows.get(COMPENSATE),
        probe=rows.get(PROBE),
        approval=approvals.get(row.pk),
        attempts=(),
    )


def every_view(steps: Iterable[StepView]) -> Iterator[StepView]:
    """The steps and their iterations."""
    for view in steps:
        yield view
        yield from view.iterations


MOST_EVENTS = 50
"""Events of a step's history on a page: the last ones."""

_EVENT_WORDS = {
    "step.scheduled": "ready",
    "step.held": "held",
    "step.started": "started",
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.retrying": "will be tried again",
    "step.crashed": "its worker was lost",
    "step.skipped": "left out",
    "step.cancel_requested": "asked to stop",
    "step.cancelled": "stopped",
    "step.uncertain": "outcome unknown",
    "step.probed": "the probe answered",
    "timer.started": "waits",
    "approval.asked": "approval asked",
    "approval.decided": "approval decided",
    "approval.voided": "approval void, asked anew",
    "subrun.started": "run started",
    "subrun.finished": "run over",
    "manual.asked": "waits for a person",
    "manual.answered": "answered",
    "loop.started": "items listed",
    "switch.chosen": "case chosen",
    "block.started": "entered",
    "block.compensating": "undoing what was done",
    "block.finished": "left",
}

_TELLING = (
    ("uncertain", "awaiting_approval", "awaiting_human"),
    ("compensating", "executing", "claimed", "ready", "waiting"),
    ("compensation_failed", "failed", "timed_out"),
)


def current_node(steps: Sequence[StepView], error: object = None) -> str:
    """The step that a reader wants to see first: what needs a person, what runs, what failed, the last one.

    ``error`` is the run's: of several steps that failed, it names the one that the run failed at.
    """
    leaves = [view for view in steps if not view.is_block]
    for view in leaves:
        if error and view.row is not None and view.row.error == error:
            return view.node
    for states in _TELLING:
        for view in leaves:
            if view.state in states:
                return view.node
    touched = [view for view in leaves if view.state not in (PENDING, "skipped")]
    if touched:
        return touched[-1].node
    return leaves[0].node if leaves else ""


def log_of(row: StepRun, most: int = MOST_LOG_LINES) -> list[LogLine]:
    """The last lines of what a step said, in order."""
    return list(reversed(LogLine.objects.filter(step=row).order_by("-n")[:most]))


def history_of(run: Run, node: str, most: int = MOST_EVENTS) -> list[StepEvent]:
    """What happened to a step, its undoing and its probe, oldest first, as the run's history has it."""
    keys = Q(data__key=node) | Q(data__key__startswith=f"{node}/") | Q(data__key__startswith=f"{node}[")
    events = RunEvent.objects.filter(run=run).filter(keys).order_by("-n")[:most]
    return [_in_words(event, node) for event in reversed(events)]


def _in_words(event: RunEvent, node: str) -> StepEvent:
    data = event.data
    subject = str(data.get("key", "")).removeprefix(node).strip("/")
    role = {"compensate": "undoing ", "probe": "probe "}.get(subject, "")
    words = _EVENT_WORDS.get(event.type, event.type.replace(".", " ").replace("_", " "))
    error = data.get("error")
    told = error.get("message", "") if isinstance(error, dict) else ""
    detail = data.get("words") or data.get("reason") or told
    if event.type == "wait.sampled":
        words = f"sample {data.get('n', '')}: {'met' if data.get('met') else 'not yet'}"
    if event.type in ("step.started", "step.retrying", "step.crashed") and data.get("attempt"):
        words = f"{words}, attempt {data['attempt']}"
    if event.type == "checklist.ticked":
        done = data.get("choice") == "done"
        words = f"{'done by hand, by' if done else 'left out by'} {data.get('by', '')}"
    if event.type == "step.skipped" and data.get("by"):
        words = f"skipped by {data['by']}"
    if event.type == "step.decided":
        words = f"decided: {data.get('choice', '')}, by {data.get('by', '')}"
    # Its undoing and its probe may act upon another target.
    target = str(data.get("target") or "") if not subject else ""
    return StepEvent(event.n, event.at, f"{role}{words}", str(detail or ""), target)


def definition_or_none(run: Run) -> Runbook | None:
    """The definition that the run is pinned to; None when this process cannot read it (an action is gone)."""
    try:
        return definition_of(run.version)
    except Invalid:
        return None


def written_steps(definition: Runbook) -> Iterator[tuple[str, str, int, Step]]:
    """``(phase, parent, depth, step)`` for every step in document order."""
    for phase, steps in (
        ("steps", definition.steps),
        ("on_failure", definition.on_failure),
        ("finally", definition.finally_),
    ):
        stack: list[tuple[str, int, Step]] = [("", 0, step) for step in reversed(steps)]
        while stack:
            parent, depth, step = stack.pop()
            yield phase, parent, depth, step
            stack.extend((step.id, depth + 1, child) for child in reversed(step.children()))


def titled(step: Step) -> str:
    """What people read of a step."""
    return step.title or step.id.replace("_", " ").capitalize()


def _of_definition(
    definition: Runbook, rows: Mapping[tuple[str, str], StepRun], approvals: Mapping[object, Approval]
) -> Iterator[StepView]:
    numbers = dict.fromkeys(PHASES, 0)
    for phase, parent, depth, step in written_steps(definition):
        row = rows.get((step.id, STEP))
        number = None
        if not step.children():
            numbers[phase] += 1
            number = numbers[phase]
        yield StepView(
            node=step.id,
            title=titled(step),
            kind=step.kind,
            uses=step.call.uses if isinstance(step, ActionStep | WaitUntilStep) else "",
            effect=step.effect.value if isinstance(step, ActionStep) else "",
            phase=phase,
            parent=parent,
            depth=depth,
            number=number,
            when=step.when or "",
            state=_state(step, row, rows),
            row=row,
            compensation=rows.get((step.id, COMPENSATE)),
            probe=rows.get((step.id, PROBE)),
            approval=approvals.get(row.pk) if row is not None else None,
            attempts=tuple(row.attempts.all()) if row is not None else (),
        )


def _state(step: Step, row: StepRun | None, rows: Mapping[tuple[str, str], StepRun]) -> str:
    """The state of the row; a block without one of its own is what its steps are."""
    if row is not None:
        return str(row.state)
    children = step.children()
    if not children:
        return PENDING
    return combined({_state(child, rows.get((child.id, STEP)), rows) for child in children})


def combined(states: set[str]) -> str:
    """One state for several: what needs somebody, what goes on, what went wrong."""
    if states == {PENDING}:
        return PENDING
    if len(states) == 1:
        return next(iter(states))
    for telling in ("uncertain", "awaiting_approval", "awaiting_human", "executing", "claimed", "ready"):
        if telling in states:
            return telling
    if PENDING in states or "waiting" in states:
        return "executing"
    for telling in ("compensation_failed", "failed", "timed_out", "compensated", "cancelled"):
        if telling in states:
            return telling
    return "succeeded"


def _of_row(row: StepRun, approvals: Mapping[object, Approval]) -> StepView:
    return StepView(
        node=row.node,
        title=row.title or row.node,
        kind=row.kind,
        uses=row.action,
        effect=row.effect,
        number=1,
        state=str(row.state),
        row=row,
        approval=approvals.get(row.pk),
        attempts=tuple(islice(row.attempts.all(), 100)),
    )
