"""A loop: its steps once for each item, begun in the order of the items, so many at once."""

from __future__ import annotations

import json

from runbooks.engine import events as e
from runbooks.engine.flow import Flow, Halt, error_of
from runbooks.engine.frames import deadline_of, entered, finished, late, timeout_error, told_to_stop, withdraw
from runbooks.engine.planning import Planner
from runbooks.engine.state import NodeState, deeper, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ForEachStep, Json, Step
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import evaluate, kind_of

S = StepStatus

MOST_ITEMS = 500
"""Items of one loop."""

MOST_IN_RUN = 2_000
"""Items of all loops of a run together: a loop inside a loop multiplies."""

MOST_BYTES = 256 * 1024
"""JSON of the items of one loop; they stand in the run's history."""


def for_each(planner: Planner, step: Step, halt: Halt | None) -> Flow:
    """Each item in turn; with ``on_item_failure: fail`` none is begun after one has failed."""
    if not isinstance(step, ForEachStep):
        raise TypeError(f"{step.id} is no loop.")
    if planner.node(step).status == S.PENDING:
        try:
            items = _items(planner, step)
        except ExpressionError as wrong:
            return planner.fail(step, error_of("expression", str(wrong)))
        except TooMuch as wrong:
            return planner.fail(step, error_of("too_many_items", str(wrong)))
        planner.record(
            e.LoopStarted(
                at=planner.now, key=planner.key(step), items=items, deadline=deadline_of(planner, step)
            )
        )
    over = late(planner, planner.node(step))
    stop = halt or over
    open_items = _follow(planner, step, stop)
    if stop is None:
        stop = _item_ends_run(planner, step)
        if stop is not None:
            # Another item may have gone on a moment ago, in this very walk.
            withdraw(planner, step.children())
            open_items = _follow(planner, step, stop)
    if stop is None:
        open_items = _begin(planner, step, open_items)
        stop = _item_ends_run(planner, step)
        if stop is not None:
            withdraw(planner, step.children())
            open_items = _follow(planner, step, stop)
    return Flow.OPEN if open_items else _ended(planner, step, halt, over)


class TooMuch(ValueError):
    """The items are more than a loop takes."""


def _items(planner: Planner, step: ForEachStep) -> list[Json]:
    """The items as they are now. Raises ExpressionError and :class:`TooMuch`."""
    path = f"{step.path}.items"
    found = evaluate(step.items, planner.names(step), path=path)
    if not isinstance(found, list):
        kind = "nothing" if found is None else kind_of(found)
        raise ExpressionError("wrong_type", f"The items must be a list, not {kind}.", step.items, path=path)
    if len(found) > MOST_ITEMS:
        raise TooMuch(f"{len(found)} items; a for_each takes {MOST_ITEMS}. Filter them, or split the work.")
    others = sum(len(node.items) for node in planner.state.nodes.values() if node.items)
    if others + len(found) > MOST_IN_RUN:
        raise TooMuch(
            f"{len(found)} more items would make {others + len(found)} in this run; {MOST_IN_RUN} are the limit. "
            "Let a loop inside a loop have fewer."
        )
    size = len(json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise TooMuch(
            f"The items have {size // 1024} KiB; {MOST_BYTES // 1024} are the limit. "
            "Map them to what the steps need, such as their names."
        )
    return found


def _nodes(planner: Planner, step: ForEachStep) -> list[NodeState]:
    """The states of the items that were begun, in order."""
    found: list[NodeState] = []
    for n in range(len(planner.node(step).items or ())):
        node = planner.state.node(key_of(step.id, deeper(planner.iteration, n)))
        if node.status == S.PENDING:
            break
        found.append(node)
    return found


def _follow(planner: Planner, step: ForEachStep, stop: Halt | None) -> int:
    """Take the items that were begun as far as they go; how many of them are open."""
    begun = enumerate(_nodes(planner, step))
    return sum(_item(planner, step, n, stop) is Flow.OPEN for n, node in begun if not node.ended)


def _begin(planner: Planner, step: ForEachStep, open_items: int) -> int:
    """Begin further items while places are free; how many are open now."""
    begun = _nodes(planner, step)
    go_on = step.on_item_failure == "continue" or not any(_has_failed(node) for node in begun)
    n, count = len(begun), len(planner.node(step).items or ())
    while go_on and n < count and open_items < step.concurrency:
        flow = _item(planner, step, n, None)
        node = planner.state.node(key_of(step.id, deeper(planner.iteration, n)))
        open_items += flow is Flow.OPEN
        go_on = not node.fatal and (step.on_item_failure == "continue" or not _has_failed(node))
        n += 1
    return open_items


def _item(planner: Planner, step: ForEachStep, n: int, halt: Halt | None) -> Flow:
    """Take one item as far as it goes now."""
    with planner.item(n):
        entered(planner, step, timed=False)
        flow = planner.sequence(step.steps, halt)
        if flow is Flow.OPEN:
            return Flow.OPEN
        halt = halt or told_to_stop(planner, step.steps)
        if halt is not None:
            finished(planner, step, S.CANCELLED, error_of("cancelled", halt.reason))
        elif flow is Flow.PASSED:
            finished(planner, step, S.SUCCEEDED, None)
        else:
            finished(planner, step, S.FAILED, planner.failure_of(step.steps))
        return flow


def _has_failed(node: NodeState) -> bool:
    return node.ended and node.status != S.SUCCEEDED


def _item_ends_run(planner: Planner, step: ForEachStep) -> Halt | None:
    """Why the other items stop: one has come to a `fail` step, which ends the run."""
    for n, node in enumerate(_nodes(planner, step)):
        if node.fatal:
            return Halt(f"Item {n + 1} of {step.id} ends the run.")
    return None


def _ended(planner: Planner, step: ForEachStep, halt: Halt | None, over: Halt | None) -> Flow:
    nodes = _nodes(planner, step)
    fatal = any(node.fatal for node in nodes)
    if halt is not None:
        return finished(planner, step, S.CANCELLED, error_of("cancelled", halt.reason), fatal=fatal)
    if over is not None:
        return finished(planner, step, S.TIMED_OUT, timeout_error(step), fatal=fatal)
    failed = [n for n, node in enumerate(nodes) if _has_failed(node)]
    if not failed or (step.on_item_failure == "continue" and not fatal):
        return finished(planner, step, S.SUCCEEDED, None, fatal=False)
    # An item that failed explains more than one that was cancelled because of it.
    failed.sort(key=lambda n: (nodes[n].status == S.CANCELLED, not nodes[n].fatal))
    error = nodes[failed[0]].error or error_of("failed", "An item failed.")
    return finished(planner, step, S.FAILED, {**error, "item": failed[0]}, fatal=fatal)
