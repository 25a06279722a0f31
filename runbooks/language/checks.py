"""Checks what a document means beyond its shape: names, order, effects, and the values that can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.language import call_checks, step_checks, trigger_checks
from runbooks.language.actions import ActionSpec
from runbooks.language.declarations import check_input_specs, declared_inputs
from runbooks.language.expression_checks import Checking
from runbooks.language.outline import Outline, StepOutline, outline, text_of
from runbooks.language.problems import Problems
from runbooks.language.scope import STEP_ROOTS, Names, Scope
from runbooks.language.secret_inputs import refuse_secret_inputs
from runbooks.language.yaml import Document, Node

_KEY_ROOTS = frozenset({"inputs", "alert", "incident"})


def check_meaning(
    document: Document, root: Node, actions: Mapping[str, ActionSpec], problems: Problems
) -> None:
    """Everything that the schema cannot say. Parts of a wrong shape are passed over.

    They are reported already.
    """
    steps = outline(document)
    secrets = root.children.get("secrets")
    names = Names(
        inputs=declared_inputs(root.children.get("inputs")),
        secrets=frozenset(secrets.keys if secrets else ()),
        outline=steps,
        actions=actions,
        complete=document.complete,
    )
    checking = Checking(document, problems)
    check_input_specs(document, ("inputs",), problems)
    trigger_checks.check_triggers(checking, names)
    for name in ("concurrency", "rate_limit"):
        checking.template((name, "key"), Scope(names, _KEY_ROOTS))
    _check_ids(steps, checking)
    for step in steps.steps:
        _check_step(checking, step, names)
    refuse_secret_inputs(document, steps, problems)
    _check_outputs(checking, root, names)
    outcome = root.children.get("outcome")
    for name in outcome.keys if outcome else ():
        checking.condition(("outcome", name), Scope(names, STEP_ROOTS))


def _check_outputs(checking: Checking, root: Node, names: Names) -> None:
    """What a run gives to the one that started it, as it is at its end."""
    checking.template(("outputs",), Scope(names, STEP_ROOTS))
    outputs = root.children.get("outputs")
    for name in ("run", "outcome"):
        if outputs is not None and name in outputs.keys:
            checking.say(("outputs", name), f"'{name}' is given anyway: choose another name.")


def _check_ids(steps: Outline, checking: Checking) -> None:
    for step in steps.steps:
        first = steps.by_id.get(step.id)
        if first is not None and first is not step:
            line = first.node.children["id"].span.line
            checking.say((*step.path, "id"), f"The id '{step.id}' is taken by the step on line {line}.")


def _check_step(checking: Checking, step: StepOutline, names: Names) -> None:
    scope = Scope.of_step(names, step)
    checking.condition((*step.path, "when"), scope)
    kind = step.kind
    if kind is None:
        return
    for field in kind.expressions:
        more = ("result",) if field in kind.results else ()
        checking.condition(
            (*step.path, field),
            Scope.of_step(names, step, *more, uses=text_of(step.node, "uses")),
            boolean=field in kind.results,
        )
    for field in kind.templates:
        checking.template((*step.path, field), scope)
    for call in _calls(step):
        call_checks.check_call(checking, call, names)
    step_checks.check_step(checking, step, names)


def _calls(step: StepOutline) -> Iterator[call_checks.CallOutline]:
    kind = step.kind
    if kind is None or not kind.calls:
        return
    yield call_checks.CallOutline(step, step.node, step.path, reads_only=kind.reads_only)
    for part, reads_only in (("probe", True), ("compensate", False)):
        node = step.node.children.get(part) if part in kind.fields else None
        if node is not None and isinstance(node.data, dict):
            yield call_checks.CallOutline(
                step, node, (*step.path, part), reads_only=reads_only, undoes=part == "compensate"
            )
