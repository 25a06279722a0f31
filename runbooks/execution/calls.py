"""What a step would call: its inputs rendered for people and digests, or with the secrets for the call itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runbooks.engine.commands import StartStep
from runbooks.engine.compensation import NOT_CAPTURED
from runbooks.engine.names import masked_secrets, names
from runbooks.engine.state import COMPENSATE, Key, RunState, key_of
from runbooks.language.definition import Json, Runbook, Template
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import OPEN, render

_SECRET = re.compile(r"\bsecrets\s*(?:\.\s*(\w+)|\[\s*[\"'](\w+)[\"']\s*\])")


def secrets_used(template: Template) -> frozenset[str]:
    """The names of the secrets that a template reads."""
    if isinstance(template, str):
        if "${{" not in template or "secrets" not in template:
            return frozenset()
        return frozenset(first or second for first, second in _SECRET.findall(template))
    if isinstance(template, dict):
        return frozenset().union(*map(secrets_used, template.values()))
    if isinstance(template, list):
        return frozenset().union(*map(secrets_used, template))
    return frozenset()


def _has_expressions(template: Template) -> bool:
    if isinstance(template, str):
        return OPEN in template
    if isinstance(template, dict):
        return any(map(_has_expressions, template.values()))
    return isinstance(template, list) and any(map(_has_expressions, template))


def rendered(
    definition: Runbook, state: RunState, command: StartStep, secrets: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """The inputs of a call. Without ``secrets``, their references stand where they would.

    Raises ExpressionError. A compensation gets what was captured when its step completed; only if it reads
    secrets is it rendered again, because secrets are never stored.
    """
    template: dict[str, Template] = dict(command.call.with_)
    place = Key.parse(command.key)
    local: dict[str, object] = {"secrets": secrets if secrets is not None else masked_secrets(definition)}
    if place.role == COMPENSATE:
        undone = state.node(key_of(place.node, place.iteration))
        captured = undone.captured or {}
        if NOT_CAPTURED in captured:
            raise ExpressionError("not_captured", str(captured[NOT_CAPTURED]), "compensate")
        inputs = captured.get("inputs")
        if isinstance(inputs, dict) and (secrets is None or not secrets_used(template)):
            return inputs
        local["self"] = {"outputs": undone.outputs}
    suffix = "" if place.role == "step" else f".{place.role}"
    # What no expression reads is not gathered: most calls of a runbook have none.
    seen = names(definition, state, command.key, **local) if _has_expressions(template) else {}
    found = render(template, seen, path=f"{command.step.path}{suffix}.with")
    return found if isinstance(found, dict) else {}
