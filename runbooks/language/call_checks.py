"""Checks the calls of actions.

That the action exists, its inputs, its effect, and where secrets may stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.language.actions import CAREFUL, ActionSpec
from runbooks.language.definition import Effect, Template
from runbooks.language.encodings import PROGRAM, Encoded, marked, refusal
from runbooks.language.expression_checks import Checking
from runbooks.language.expressions import OPEN
from runbooks.language.outline import Path, StepOutline, text_of
from runbooks.language.problems import WARNING, nearest
from runbooks.language.scope import Names, Scope
from runbooks.language.structure import check_inputs_of_action
from runbooks.language.yaml import Node


@dataclass(frozen=True, slots=True)
class CallOutline:
    """A call as written: of a step itself, of its probe or of its compensation (``undoes``)."""

    step: StepOutline
    node: Node
    path: Path
    reads_only: bool = False
    undoes: bool = False


def check_call(checking: Checking, call: CallOutline, names: Names) -> None:
    """Everything about one call."""
    more = ("secrets", "self") if call.undoes else ("secrets",)
    own_action = text_of(call.step.node, "uses")
    checking.template((*call.path, "with"), Scope.of_step(names, call.step, *more, uses=own_action))
    uses = text_of(call.node, "uses")
    checking.condition((*call.path, "done_when"), Scope.of_step(names, call.step, "result", uses=uses))
    if uses is None:
        return
    spec = names.actions.get(uses)
    if spec is None:
        checking.say(
            (*call.path, "uses"),
            f"There is no action '{uses[:60]}'.",
            suggestion=nearest(uses, names.actions),
        )
        return
    if spec.unavailable:
        checking.say((*call.path, "uses"), spec.unavailable, severity=WARNING)
    check_inputs_of_action(checking.document, spec.inputs_schema, (*call.path, "with"), checking.problems)
    _check_static(checking, call, spec)
    _check_argument_places(checking, call, spec)
    effect, idempotent = spec.effect_for(_inputs_of(call.node))
    if call.reads_only and effect is not Effect.READ:
        checking.say(
            (*call.path, "uses"),
            f"Only a reading action can be used here; this call of '{uses}' is {effect}.",
        )
    _check_effect(checking, call, effect)
    _check_idempotence(checking, call, spec, idempotent=idempotent)


def _inputs_of(node: Node) -> Mapping[str, Template]:
    inputs = node.children.get("with")
    return inputs.data if inputs is not None and isinstance(inputs.data, dict) else {}


def _check_static(checking: Checking, call: CallOutline, spec: ActionSpec) -> None:
    for name in sorted(spec.static_inputs):
        for path, _ in checking.texts((*call.path, "with", name)):
            checking.say(
                path,
                f"'{name}' of '{spec.name}' is static text: ${{{{ }}}} is not allowed in it. "
                "Give values through other inputs.",
            )


def _check_argument_places(checking: Checking, call: CallOutline, spec: ActionSpec) -> None:
    """The program of an argv, and program text after an option such as ``-c``, take no values."""
    for name, value in marked(_inputs_of(call.node), spec.encodings, frozenset()).items():
        for at, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, Encoded) and item.encoding == PROGRAM and OPEN in item:
                place = (name, at) if isinstance(value, list) else (name,)
                checking.say((*call.path, "with", *place), refusal(PROGRAM))


def _check_effect(checking: Checking, call: CallOutline, default: Effect) -> None:
    written = text_of(call.node, "effect")
    if written is None or written not in list(Effect):
        return
    if CAREFUL[Effect(written)] < CAREFUL[default]:
        checking.say(
            (*call.path, "effect"),
            f"This call is {default}; a runbook may only be more careful, not say {written}.",
        )


def _check_idempotence(checking: Checking, call: CallOutline, spec: ActionSpec, *, idempotent: bool) -> None:
    written = call.node.children.get("idempotent")
    if written is not None and written.data is True and not (idempotent or spec.may_be_idempotent):
        checking.say(
            (*call.path, "idempotent"),
            f"'{spec.name}' cannot be idempotent: doing it twice is not doing it once.",
        )
