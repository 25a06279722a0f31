"""Says of what the language reads, but this version does not carry out yet: a warning at its place, never silence."""

from __future__ import annotations

from runbooks.language.outline import Outline, Path, items_of, text_of
from runbooks.language.problems import WARNING, Problems, path_text
from runbooks.language.yaml import Document

_TRIGGERS = {
    "webhook": "Webhook triggers start nothing in this version: use a generic alert source, or the API.",
}


def warn_of_later(document: Document, steps: Outline, problems: Problems) -> None:
    """Add a warning for each part that is understood and checked, but has no effect yet."""
    asking = [step for step in steps.steps if step.kind is None or not step.kind.any_outputs]
    for place in (("inputs",), *((*step.path, "inputs") for step in asking)):
        _refuse_secret_inputs(document, place, problems)
    for n, trigger in enumerate(items_of(document.find(("triggers",)))):
        event = text_of(trigger, "on")
        if event in _TRIGGERS:
            _warn(document, ("triggers", n, "on"), _TRIGGERS[event], problems)


def _refuse_secret_inputs(document: Document, place: Path, problems: Problems) -> None:
    """An error, not a warning: who marks an input as secret relies on it."""
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


def _warn(document: Document, path: Path, message: str, problems: Problems) -> None:
    node = document.find(path)
    if node is not None:
        problems.add(node.span, path_text(path), message, severity=WARNING)
