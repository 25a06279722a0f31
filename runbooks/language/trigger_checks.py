"""Checks the triggers of a document: ids, schedules, and the inputs that they give to a run."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from functools import lru_cache

from cronsim import CronSim, CronSimError

from runbooks.language.declarations import specs_of
from runbooks.language.definition import InputType
from runbooks.language.errors import ExpressionError
from runbooks.language.expression_checks import Checking
from runbooks.language.expressions import OPEN, Hole, parts
from runbooks.language.inputs import problem_with, spec_problems
from runbooks.language.outline import Path, items_of, text_of
from runbooks.language.problems import nearest
from runbooks.language.scope import Names, Scope, a_kind
from runbooks.language.syntax import analyse
from runbooks.language.yaml import Node

_ROOTS = {
    "alert": frozenset({"alert", "incident"}),
    "incident": frozenset({"incident"}),
    "schedule": frozenset[str](),
    "webhook": frozenset({"webhook"}),
}


def check_triggers(checking: Checking, names: Names) -> None:
    """Everything about all triggers."""
    seen: dict[str, Node] = {}
    for n, trigger in enumerate(items_of(checking.document.find(("triggers",)))):
        path = ("triggers", n)
        name = text_of(trigger, "id")
        if name is not None and name in seen:
            line = seen[name].span.line
            checking.say((*path, "id"), f"The id '{name[:60]}' is taken by the trigger on line {line}.")
        elif name is not None:
            seen[name] = trigger
        on = text_of(trigger, "on")
        scope = Scope(names, _ROOTS.get(on or "", frozenset({"alert", "incident", "webhook"})))
        checking.condition((*path, "when"), scope)
        checking.template((*path, "inputs"), scope)
        checking.template((*path, "dedupe", "key"), scope)
        if on == "webhook" and text_of(trigger, "mode") == "suggest":
            checking.say(
                (*path, "mode"),
                "A webhook has no incident on which people would see the suggestion: shadow or enforce.",
            )
        _check_schedule(checking, trigger, path, on, complete=names.complete)
        _check_inputs(checking, trigger, path, scope)


def _check_schedule(checking: Checking, trigger: Node, path: Path, on: str | None, *, complete: bool) -> None:
    if on == "schedule" and "cron" not in trigger.keys and complete:
        checking.say(path, "A schedule needs 'cron'.")
    for field in ("cron", "timezone", "catch_up"):
        if on != "schedule" and field in trigger.keys:
            checking.say((*path, field), f"'{field}' belongs to triggers on a schedule.")
    cron = text_of(trigger, "cron")
    wrong = cron_problem(cron) if cron is not None else None
    if wrong is not None:
        checking.say((*path, "cron"), wrong)
    zone = text_of(trigger, "timezone")
    if zone is not None and zone not in _zones():
        checking.say(
            (*path, "timezone"), f"There is no time zone '{zone[:60]}'.", suggestion=_nearest_zone(zone)
        )


def cron_problem(cron: str) -> str | None:
    """What is wrong with a cron expression, or None."""
    if len(cron.split()) != 5:
        return "Five fields are needed: minute, hour, day of month, month, day of week."
    try:
        next(CronSim(cron, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
    except CronSimError as error:
        return f"This is not a cron expression: {str(error).lower()}."
    except StopIteration:
        return "This schedule never comes."
    return None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _nearest_zone(zone: str) -> str | None:
    region, _, _ = zone.partition("/")
    same = [name for name in sorted(_zones()) if name.startswith(f"{region}/")]
    return nearest(zone, same or sorted(_zones()))


_FITTING = {
    InputType.STRING: {"string", "timestamp"},
    InputType.ENUM: {"string"},
    InputType.INTEGER: {"integer"},
    InputType.NUMBER: {"integer", "number", "span of time"},
    InputType.BOOLEAN: {"boolean"},
    InputType.DURATION: {"string", "integer", "number", "span of time"},
    InputType.OBJECT: {"mapping"},
    InputType.ARRAY: {"list"},
}
"""The types of expressions that an input of each type takes."""


def _check_inputs(checking: Checking, trigger: Node, path: Path, scope: Scope) -> None:
    names = scope.names
    declared = checking.document.find(("inputs",))
    specs = {name: spec for name, spec in specs_of(declared).items() if not spec_problems(spec)}
    inputs = trigger.children.get("inputs")
    given = inputs.keys if inputs is not None else {}
    for name in given:
        if name not in names.inputs:
            checking.say(
                (*path, "inputs", name),
                f"The runbook has no input '{name[:60]}'.",
                suggestion=nearest(name, names.inputs),
            )
    if not names.complete:
        return
    for name, spec in specs.items():
        value = inputs.children.get(name) if inputs is not None else None
        if value is None or value.data is None:
            if spec.required and not spec.has_default:
                checking.say(
                    (*path, "inputs") if inputs is not None else path,
                    f"The input '{name}' is required, and this trigger does not give it.",
                )
        elif isinstance(value.data, str) and OPEN in value.data:
            kind = _type_of(value.data, scope)
            if kind is not None and kind != "null" and kind not in _FITTING[spec.type]:
                checking.say(
                    (*path, "inputs", name),
                    f"The input '{name}' is of the type {spec.type}; this gives it {a_kind(kind)}.",
                )
        elif not any(True for _ in checking.texts((*path, "inputs", name))):
            wrong = problem_with(spec, value.data)
            if wrong is not None:
                checking.say((*path, "inputs", name), wrong.message, suggestion=wrong.suggestion)


def _type_of(template: str, scope: Scope) -> str | None:
    """The type of what a text is when it is rendered; None when that is not known, or it is wrong anyway."""
    try:
        pieces = parts(template)
        if len(pieces) == 1 and isinstance(pieces[0], Hole):
            return scope.type_of(analyse(pieces[0].source).whole)
    except ExpressionError:
        return None
    return "string"
