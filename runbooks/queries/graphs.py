"""The graph of a runbook or a run, as the design system draws it: nodes in written order, and edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runbooks.language.definition import ParallelStep, Runbook, Step
from runbooks.models import Run
from runbooks.queries.steps import PHASES, StepView, definition_or_none, steps_of, titled, written_steps

_KIND_WORDS = {"wait_until": "wait until", "for_each": "for each", "action": ""}


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node. ``state`` None: the graph of a runbook, where nothing has a state. ``parent`` is its frame."""

    id: str
    title: str
    kind: str = ""
    state: str | None = None
    parent: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class GraphView:
    """What the ``graph`` template tag takes."""

    nodes: Sequence[GraphNode]
    edges: Sequence[tuple[str, str]]


def definition_graph(definition: Runbook) -> GraphView:
    """The graph of a runbook, without states."""
    nodes = [
        GraphNode(id=step.id, title=titled(step), kind=_kind(step), parent=parent or _frame(phase))
        for phase, parent, _, step in written_steps(definition)
    ]
    return GraphView(nodes=_with_frames(nodes, definition), edges=list(_edges(definition)))


def graph(run: Run, steps: Sequence[StepView] | None = None) -> GraphView:
    """The graph of a run, coloured by what became of each step; each node leads to its step's details."""
    views = steps_of(run) if steps is None else steps
    nodes = [
        GraphNode(
            id=view.node,
            title=f"{view.title} ({view.tally})" if view.tally and not view.uses else view.title,
            kind=view.uses or _KIND_WORDS.get(view.kind, view.kind),
            state=view.state,
            parent=view.parent or _frame(view.phase),
            href=f"/runs/{run.pk}/?step={view.node}#step",
        )
        for view in views
    ]
    definition = definition_or_none(run)
    if definition is None:
        return GraphView(nodes=nodes, edges=list(pairwise(node.id for node in nodes)))
    return GraphView(nodes=_with_frames(nodes, definition), edges=list(_edges(definition)))


def _kind(step: Step) -> str:
    call = getattr(step, "call", None)
    return call.uses if call is not None else _KIND_WORDS.get(step.kind, step.kind)


def _frame(phase: str) -> str:
    """The id of the frame around the steps of a phase; a colon is in no step's id."""
    return "" if phase == "steps" else f"phase:{phase}"


def _with_frames(nodes: list[GraphNode], definition: Runbook) -> list[GraphNode]:
    """The nodes with a frame before the steps of ``on_failure`` and of ``finally``."""
    framed: list[GraphNode] = []
    seen: set[str] = set()
    for node in nodes:
        if node.parent.startswith("phase:") and node.parent not in seen:
            seen.add(node.parent)
            framed.append(GraphNode(id=node.parent, title=PHASES[node.parent.removeprefix("phase:")]))
        framed.append(node)
    return framed


def _edges(definition: Runbook) -> Iterator[tuple[str, str]]:
    yield from _inside(definition.steps)
    yield from _inside(definition.on_failure)
    yield from _inside(definition.finally_)
    last = definition.steps[-1].id if definition.steps else ""
    if definition.on_failure and last:
        yield last, _frame("on_failure")
    if definition.finally_:
        if last:
            yield last, _frame("finally")
        if definition.on_failure:
            yield _frame("on_failure"), _frame("finally")


def _inside(steps: Sequence[Step], *, side_by_side: bool = False) -> Iterator[tuple[str, str]]:
    if not side_by_side:
        yield from pairwise(step.id for step in steps)
    for step in steps:
        for _, inner in step.lists():
            yield from _inside(inner, side_by_side=isinstance(step, ParallelStep))
