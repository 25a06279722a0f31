"""What a run is counted by: the keys of its runbook's policies, rendered when it is made, and its priority."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from handrail.shared.errors import Invalid
from runbooks.execution.facts import alert_names, incident_names
from runbooks.language import ExpressionError, render
from runbooks.language.definition import Json, Template
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Run

LONGEST_KEY = 300


def key_run(run: Run, definition: Definition, *, automatic: bool) -> None:
    """Give a new run the keys by which it is counted.

    ``automatic``: no person and no clock wants it, so that it may be part of a loop. Raises Invalid for a key that
    cannot be told from what this run is started with.
    """
    limits = {"concurrency": definition.concurrency, "rate_limit": definition.rate_limit}
    found: dict[str, str] = {}
    for name, policy in limits.items():
        if policy is not None:
            found[name] = _rendered(run, name, policy.key)
    run.concurrency_key = found.get("concurrency", "")
    run.rate_key = found.get("rate_limit", "")
    if automatic and definition.rate_limit is None:
        run.loop_key = run.concurrency_key or _of_inputs(run.inputs)


def _rendered(run: Run, name: str, key: Template) -> str:
    known: dict[str, Json] = {
        "inputs": dict(run.inputs),
        "alert": alert_names(run.alert) if run.alert is not None else {},
        "incident": incident_names(run.incident) if run.incident is not None else {},
    }
    try:
        text = str(render(key, known, path=f"{name}.key"))
    except ExpressionError as error:
        raise Invalid(
            f"The key of the runbook's {name} cannot be told for this run: {error.message} A key that every start "
            "can give reads inputs alone.",
            code="no_key",
        ) from error
    # A key that is empty is a key, too: all runs count together.
    return shortened(text) or "-"


def shortened(key: str) -> str:
    """The key as a column holds it; of a longer one the beginning and a digest of the whole."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - 33]}#{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _of_inputs(inputs: Mapping[str, Json]) -> str:
    """The same inputs are the same key."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return f"inputs:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
