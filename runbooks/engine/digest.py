"""What an approval is bound to: a digest over everything that would run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbooks.language.definition import Json, Template
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import render


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One guarded step as it would run: secrets are references here, never values."""

    step: str
    action: str
    effect: str
    target: str
    inputs: Json
    secrets: tuple[str, ...] = ()


def approval_digest(version_digest: str, plan: Sequence[PlannedCall]) -> str:
    """SHA-256 in hex over the version and the guarded calls, independent of the order of mapping keys."""
    content = {
        "version": version_digest,
        "plan": [
            {
                "step": call.step,
                "action": call.action,
                "effect": call.effect,
                "target": call.target,
                "inputs": call.inputs,
                "secrets": sorted(call.secrets),
            }
            for call in plan
        ],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def input_digest(inputs: Json) -> str:
    """SHA-256 in hex over rendered inputs."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rendered inputs, and the paths that depend on what is not known yet and so stand as written."""

    inputs: Json
    undecided: tuple[str, ...] = ()


def render_known(
    template: Template, names: Mapping[str, object], *, path: str, keep: Collection[str] = ()
) -> Rendered:
    """Render what can be rendered. ``keep`` are paths to leave as written: those undecided when it was asked.

    A guarded step may read the answer of the very approval that guards it. Such a value is shown as its
    expression, is part of the digest as such, and stays so when the gate computes the digest again.
    """
    undecided: list[str] = []

    def filled(value: Template, place: str) -> Json:
        if isinstance(value, dict):
            return {name: filled(inner, f"{place}.{name}") for name, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner, f"{place}[{n}]") for n, inner in enumerate(value)]
        if not isinstance(value, str) or "${{" not in value:
            return value
        if place in keep:
            undecided.append(place)
            return value
        try:
            return render(value, names, path=place)
        except ExpressionError:
            undecided.append(place)
            return value

    return Rendered(filled(template, path), tuple(undecided))
