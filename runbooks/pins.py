"""Which versions of other runbooks a run may start, frozen when it starts: no cycles, no great depths."""

from __future__ import annotations

import json
from collections.abc import Callable

from handrail.accounts.models import Project
from handrail.shared.errors import Conflict, Invalid
from runbooks.language.definition import Runbook as Definition
from runbooks.language.definition import SubrunStep
from runbooks.language.expressions import OPEN
from runbooks.language.inputs import problem_with
from runbooks.models import Runbook, RunbookVersion

MOST_DEPTH = 5
"""Levels of runs below a run."""

MOST_RUNBOOKS = 50
"""Runbooks that one may reach in all."""

Pins = dict[str, str]
"""The id of the version for each runbook's slug."""

Read = Callable[[RunbookVersion], Definition]


def pins_of(project: Project, definition: Definition, read: Read) -> Pins:
    """The live versions of all runbooks that this one reaches. Raises Conflict and Invalid, in words."""
    if not any(isinstance(place.step, SubrunStep) for place in definition.places.values()):
        return {}
    pins: Pins = {}
    _follow(project, definition, (definition.id,), (pins, {}, {}), read)
    return pins


def _follow(
    project: Project,
    definition: Definition,
    path: tuple[str, ...],
    found: tuple[Pins, dict[str, Definition], dict[str, int]],
    read: Read,
) -> None:
    """``found``: the pins, their definitions, and how deep each has been followed: never again, unless deeper."""
    pins, known, depths = found
    for place in definition.places.values():
        step = place.step
        if not isinstance(step, SubrunStep):
            continue
        chain = (*path, step.runbook)
        if step.runbook in path:
            raise Conflict(
                f"These runbooks start each other for ever: {' -> '.join(chain)}. Take one step out."
            )
        if len(path) > MOST_DEPTH:
            raise Conflict(f"Runs may be {MOST_DEPTH} levels deep; this is more: {' -> '.join(chain)}.")
        if step.runbook not in known:
            version = _live(project, step)
            pins[step.runbook] = str(version.pk)
            known[step.runbook] = read(version)
            if len(pins) > MOST_RUNBOOKS:
                raise Conflict(f"More than {MOST_RUNBOOKS} runbooks would be started from {path[0]}.")
        _refuse_unfit(step, known[step.runbook])
        if depths.get(step.runbook, 0) < len(path):
            depths[step.runbook] = len(path)
            _follow(project, known[step.runbook], chain, found, read)


def _live(project: Project, step: SubrunStep) -> RunbookVersion:
    runbook = Runbook.objects.filter(project=project, slug=step.runbook, archived_at=None).first()
    if runbook is None:
        raise Invalid(f"Step {step.id}: this project has no runbook {step.runbook!r}.")
    if runbook.live is None:
        raise Conflict(f"Step {step.id}: {step.runbook} has no live version: publish it first.")
    return runbook.live


def _refuse_unfit(step: SubrunStep, definition: Definition) -> None:
    """Inputs that the other runbook does not have, that it needs, or that it would refuse as they are written."""
    declared = {spec.name: spec for spec in definition.inputs}
    if unknown := [name for name in step.inputs if name not in declared]:
        raise Invalid(f"Step {step.id}: {step.runbook} has no input {', '.join(unknown)}.")
    needed = [name for name, spec in declared.items() if spec.required and not spec.has_default]
    if missing := [name for name in needed if step.inputs.get(name) is None]:
        raise Invalid(f"Step {step.id}: {step.runbook} needs the input {', '.join(missing)}.")
    for name, value in step.inputs.items():
        known = value is not None and OPEN not in json.dumps(value)
        if known and (wrong := problem_with(declared[name], value)):
            raise Invalid(f"Step {step.id}: {step.runbook} would refuse its input {wrong}")
