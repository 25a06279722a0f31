"""The secrets that a runbook names: which of them its project may not read, and which are not there."""

from __future__ import annotations

from collections.abc import Iterator

from handrail.accounts.models import Project
from handrail.vault.grants import refusal
from handrail.vault.references import missing_locals
from runbooks.language import Parsed, Problem
from runbooks.language.definition import Runbook as Definition
from runbooks.language.problems import Problems
from runbooks.language.yaml import load

_FIELD = "secrets"


def refusals(definition: Definition, project: Project) -> Iterator[tuple[str, str]]:
    """Name in the runbook -> why the project may not read what it stands for."""
    for name, reference in definition.secrets.items():
        wrong = refusal(reference, project.slug)
        if wrong:
            yield name, wrong


def problems_of(source: str, parsed: Parsed, project: Project) -> tuple[Problem, ...]:
    """The refusals as problems of the text, at their places."""
    if parsed.runbook is None:
        return ()
    found = dict(refusals(parsed.runbook, project))
    if not found:
        return ()
    problems = Problems()
    document = load(source, problems)
    for name, wrong in found.items():
        node = document.find((_FIELD, name))
        if node is not None:
            problems.add(node.span, f"{_FIELD}.{name}", wrong)
    return problems.in_order()


def missing(definition: Definition, project: Project) -> list[str]:
    """In words what stands in the way of reading the secrets, as far as it can be known away from the workers."""
    refused = [wrong for _, wrong in refusals(definition, project)]
    return refused + missing_locals(definition.secrets.values(), project)
