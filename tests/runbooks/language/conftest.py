"""Action specifications for the tests of the language."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, Effect, Template


def http_effect(with_: Mapping[str, Template]) -> tuple[Effect, bool]:
    """Reading methods read."""
    return (
        (Effect.READ, True) if with_.get("method", "GET") in ("GET", "HEAD") else (Effect.REVERSIBLE, False)
    )


@pytest.fixture(scope="session")
def actions() -> dict[str, ActionSpec]:
    """What a registry of actions would give."""
    any_inputs = {"type": "object"}
    specs = (
        ActionSpec(name="noop", title="Nothing", inputs_schema=any_inputs, effect=Effect.REVERSIBLE),
        ActionSpec(name="slack.post", title="Post", inputs_schema=any_inputs, effect=Effect.REVERSIBLE),
        ActionSpec(
            name="ssh.run",
            title="Run over SSH",
            inputs_schema={
                "type": "object",
                "required": ["target", "argv"],
                "additionalProperties": False,
                "properties": {
                    "target": {"type": "string"},
                    "argv": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                },
            },
            effect=Effect.REVERSIBLE,
        ),
        ActionSpec(
            name="argv.run",
            title="Run an argv",
            inputs_schema=any_inputs,
            effect=Effect.REVERSIBLE,
            encodings={"argv": "argument"},
        ),
        ActionSpec(
            name="shell.run",
            title="Run",
            inputs_schema=any_inputs,
            effect=Effect.IRREVERSIBLE,
            static_inputs=frozenset({"script"}),
        ),
        ActionSpec(
            name="http.request",
            title="Request",
            inputs_schema={
                "type": "object",
                "required": ["connection"],
                "additionalProperties": False,
                "properties": {
                    "connection": {"type": "string", "minLength": 1},
                    "method": {"enum": ["GET", "HEAD", "PUT", "POST"]},
                    "path": {"type": "string"},
                    "json": {},
                    "tries": {"type": "integer", "minimum": 1, "maximum": 9},
                },
            },
            effect=Effect.REVERSIBLE,
            may_be_idempotent=True,
            effect_of=http_effect,
            outputs={"status": "The status.", "json": "The body."},
        ),
        ActionSpec(
            name="prometheus.query",
            title="Query",
            inputs_schema={
                "type": "object",
                "required": ["query"],
                "additionalProperties": False,
                "properties": {"query": {"type": "string"}},
            },
            effect=Effect.READ,
            idempotent=True,
            outputs={"value": "The value.", "result": "All of it."},
        ),
    )
    return {spec.name: spec for spec in specs}
