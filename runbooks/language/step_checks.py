"""Checks that belong to one kind of step."""

from __future__ import annotations

from collections.abc import Callable

from runbooks.language.declarations import check_input_specs
from runbooks.language.durations import seconds
from runbooks.language.expression_checks import Checking
from runbooks.language.outline import StepOutline, items_of, why_not_before
from runbooks.language.problems import WARNING, nearest
from runbooks.language.scope import WHERE, Names, Scope, a_kind
from runbooks.language.syntax import FUNCTIONS
from runbooks.language.tokens import MACROS
from runbooks.language.yaml import Node

_RESERVED = frozenset(
    [
        *(
            "as",
            "break",
            "const",
            "continue",
            "else",
            "false",
            "for",
            "function",
            "if",
            "import",
            "in",
            "let",
        ),
        *("loop", "namespace", "null", "package", "return", "true", "var", "void", "while"),
    ]
)
"""Words that CEL keeps for itself."""


ESCALATE_TO = ("slack", "pagerduty", "team")
"""How an approval is escalated."""


def check_step(checking: Checking, step: StepOutline, names: Names) -> None:
    """What is peculiar to the step's kind."""
    check = _CHECKS.get(step.kind.name if step.kind else "")
    if check is not None:
        check(checking, step, names)


def _check_wait(checking: Checking, step: StepOutline, names: Names) -> None:
    given = {"for", "until"} & set(step.node.keys)
    if len(given) != 1 and (names.complete or given):
        checking.say(step.path, "A wait needs exactly one of 'for' (how long) and 'until' (the moment).")
    kind = checking.type_of((*step.path, "until"), Scope.of_step(names, step))
    if kind not in (None, "string", "timestamp"):
        checking.say(
            (*step.path, "until"),
            f"This must be a moment, such as timestamp('2030-01-31T09:00:00Z'); it is {a_kind(kind)}.",
        )


def _check_wait_until(checking: Checking, step: StepOutline, names: Names) -> None:
    timeout, sustained = _seconds(step.node, "timeout"), _seconds(step.node, "sustained")
    if timeout is not None and sustained is not None and sustained >= timeout:
        checking.say(
            (*step.path, "sustained"), "'sustained' is not shorter than 'timeout': this can never succeed."
        )


def _check_group(checking: Checking, step: StepOutline, names: Names) -> None:
    on_failure = step.node.children.get("on_failure")
    wanted = on_failure.children.get("compensate") if on_failure else None
    if wanted is None or wanted.data is not True or not names.complete:
        return
    if not any("compensate" in inner.node.keys for inner in _inside(step)):
        checking.say(
            (*step.path, "on_failure", "compensate"),
            "No step of this group has 'compensate', so there is nothing to undo.",
            severity=WARNING,
        )


def _inside(step: StepOutline) -> list[StepOutline]:
    found: list[StepOutline] = []
    todo = [*step.children]
    while todo:
        child = todo.pop()
        found.append(child)
        todo.extend(child.children)
    return found


def _check_for_each(checking: Checking, step: StepOutline, names: Names) -> None:
    name, path = step.item_name, (*step.path, "as")
    taken = {*WHERE, *FUNCTIONS, *MACROS, *_RESERVED} - {"item"}
    if name in taken:
        checking.say(path, f"'{name}' cannot name the item: it means something else in expressions.")
    if any(loop.item_name == name for loop in step.loops()):
        checking.say(
            path, f"The item of the for_each around this one is '{name}', too: give this one another 'as'."
        )
    kind = checking.type_of((*step.path, "items"), Scope.of_step(names, step))
    if kind not in (None, "list", "null"):
        checking.say((*step.path, "items"), f"This must be a list; it is {a_kind(kind)}.")


def _check_switch(checking: Checking, step: StepOutline, names: Names) -> None:
    for n, case in enumerate(items_of(step.node.children.get("cases"))):
        path = (*step.path, "cases", n, "when")
        checking.condition(path, Scope.of_step(names, step))
        always = case.children.get("when")
        later = step.node.find(("cases", n + 1)) or step.node.children.get("default")
        if always is not None and always.data in (True, "true") and later is not None:
            checking.say(path, "This is always true: nothing that comes after it is taken.", severity=WARNING)


def _check_manual(checking: Checking, step: StepOutline, names: Names) -> None:
    check_input_specs(checking.document, (*step.path, "inputs"), checking.problems)


def _check_approval(checking: Checking, step: StepOutline, names: Names) -> None:
    check_input_specs(checking.document, (*step.path, "inputs"), checking.problems)
    _check_guards(checking, step, names)
    _check_approvers(checking, step)
    timeout = _seconds(step.node, "timeout")
    for n, one in enumerate(items_of(step.node.children.get("escalate"))):
        after = _seconds(one, "after")
        if timeout is not None and after is not None and after >= timeout:
            checking.say(
                (*step.path, "escalate", n, "after"),
                "The approval has ended by then: it must be before 'timeout'.",
            )
        to = one.children.get("to")
        for how in to.keys if to is not None else ():
            if how not in ESCALATE_TO:
                checking.say(
                    (*step.path, "escalate", n, "to", how),
                    f"Nobody is asked by '{how[:40]}': it is one of {', '.join(ESCALATE_TO)}.",
                    suggestion=nearest(how, ESCALATE_TO),
                    severity=WARNING,
                )


def _check_guards(checking: Checking, step: StepOutline, names: Names) -> None:
    for n, item in enumerate(items_of(step.node.children.get("for"))):
        if not isinstance(item.data, str):
            continue
        path = (*step.path, "for", n)
        guarded = names.outline.by_id.get(item.data)
        if guarded is None:
            if names.complete:
                suggestion = nearest(item.data, names.outline.by_id)
                checking.say(path, f"There is no step '{item.data[:60]}'.", suggestion=suggestion)
            continue
        why = why_not_before(guarded, step)
        if why is not None:
            checking.say(
                path, f"'{guarded.id}' does not come after this approval: an approval guards later steps."
            )
        other = next((one for one in (guarded, *_inside(guarded)) if one.kind and one.kind.any_outputs), None)
        if other is not None:
            checking.say(
                path,
                f"'{other.id}' runs another runbook, whose steps this approval cannot show: let that runbook ask.",
            )
        loop = _loop_of(guarded, step)
        if loop is not None:
            checking.say(
                path,
                f"'{guarded.id}' is done once for each item of '{loop.id}', which this approval cannot show: "
                f"put the approval inside '{loop.id}'.",
            )


def _loop_of(guarded: StepOutline, approval: StepOutline) -> StepOutline | None:
    """A loop around or inside of what is guarded that is not around the approval."""
    around = [*approval.loops()]
    for step in (guarded, *_inside(guarded)):
        loops = [*([step] if step.kind is not None and step.kind.repeats else []), *step.loops()]
        for loop in loops:
            if loop not in around:
                return loop
    return None


def _check_approvers(checking: Checking, step: StepOutline) -> None:
    who = step.node.children.get("approvers")
    if who is None:
        return
    teams = [item.data for item in items_of(who.children.get("teams")) if isinstance(item.data, str)]
    users = [item.data for item in items_of(who.children.get("users")) if isinstance(item.data, str)]
    least = _whole(who, "min") or 1
    if users and not teams and len(set(users)) < least:
        checking.say(
            (*step.path, "approvers", "min"), f"{least} must approve, but only {len(set(users))} may."
        )
    per_team = who.children.get("min_per_team")
    for team in per_team.keys if per_team else ():
        if team not in teams:
            checking.say(
                (*step.path, "approvers", "min_per_team", team),
                f"'{team[:60]}' is not among the teams that may approve.",
                suggestion=nearest(team, teams),
            )


def _seconds(node: Node, key: str) -> float | None:
    value = node.children[key].data if key in node.children else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        return seconds(value)
    except ValueError:  # the schema reports it
        return None


def _whole(node: Node, key: str) -> int | None:
    value = node.children[key].data if key in node.children else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value == int(value) else None  # 2.0 is a whole number to the schema, too


_CHECKS: dict[str, Callable[[Checking, StepOutline, Names], None]] = {
    "wait": _check_wait,
    "wait_until": _check_wait_until,
    "group": _check_group,
    "for_each": _check_for_each,
    "switch": _check_switch,
    "approval": _check_approval,
    "manual": _check_manual,
}
