"""Refuses inputs that are marked as secret: what is given is stored and shown."""

from __future__ import annotations

from runbooks.language.outline import Outline, Path
from runbooks.language.problems import Problems, path_text
from runbooks.language.yaml import Document


def refuse_secret_inputs(document: Document, steps: Outline, problems: Problems) -> None:
    """Add an error at each ``secret: true``, of the runbook's inputs and of those that people are asked for.

    A warning would not do: who marks an input as secret relies on it.
    """
    asking = [step for step in steps.steps if step.kind is None or not step.kind.any_outputs]
    for place in (("inputs",), *((*step.path, "inputs") for step in asking)):
        _refuse(document, place, problems)


def _refuse(document: Document, place: Path, problems: Problems) -> None:
    inputs = document.find(place)
    for name in inputs.keys if inputs is not None else ():
        flag = document.find((*place, name, "secret"))
        if flag is not None and flag.data is True:
            problems.add(
                flag.span,
                path_text((*place, name, "secret")),
                "Secret inputs are not available in this version: what is given is stored and shown. "
                "Name a reference under 'secrets' instead.",
            )
