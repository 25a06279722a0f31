"""Reads a runbook.

YAML to checked document to typed definition, with every problem of the text in one pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.language.actions import ActionSpec
from runbooks.language.checks import check_meaning
from runbooks.language.definition import Json, Runbook
from runbooks.language.document import build_runbook
from runbooks.language.problems import Problem, Problems, Span
from runbooks.language.structure import check_document
from runbooks.language.yaml import load


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text means. ``runbook`` is None when there are errors; warnings alone do not prevent it.

    ``canonical`` and ``digest`` are of the document as data: comments, layout and the order of keys do not
    matter.
    """

    runbook: Runbook | None
    problems: tuple[Problem, ...]
    document: Json = None
    canonical: str | None = None
    digest: str | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid running the document."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def parse(text: str | bytes, *, actions: Mapping[str, ActionSpec]) -> Parsed:
    """Read a runbook. Never raises for any text; everything that is wrong with it is in ``problems``."""
    problems = Problems()
    document = load(text, problems)
    root = document.root
    if root is None:
        if not problems.any_errors:
            problems.add(Span(), "", "The document is empty: a runbook begins with apiVersion: handrail/v1.")
        return Parsed(None, problems.in_order())
    if not isinstance(root.data, dict):
        problems.add(root.span, "", "A runbook is a mapping: it begins with apiVersion: handrail/v1.")
        return Parsed(None, problems.in_order(), root.data)
    check_document(document, root, problems)
    check_meaning(document, root, actions, problems)
    if problems.any_errors:
        return Parsed(None, problems.in_order(), root.data)
    return Parsed(
        build_runbook(document, root.data, actions),
        problems.in_order(),
        root.data,
        canonical(root.data),
        digest(root.data),
    )


def canonical(document: Json) -> str:
    """The one JSON text of a document: sorted keys, no spaces, plain characters."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(document: Json) -> str:
    """SHA-256 of :func:`canonical` in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def reread(text: str, *, actions: Mapping[str, ActionSpec]) -> Runbook | None:
    """The definition of a text that :func:`parse` has accepted before, without checking its meaning again.

    Some hundred times faster: a worker or a webhook that meets a version for the first time does not wait. None
    when the text is not even a mapping, or names an action that ``actions`` does not have.
    """
    document = load(text, Problems())
    root = document.root
    if root is None or not isinstance(root.data, dict):
        return None
    try:
        return build_runbook(document, root.data, actions)
    except KeyError:
        return None
