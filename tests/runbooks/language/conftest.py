"""Action specifications for the tests of the language."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, Effect, Template, parse
from tests.runbooks.language.checking import HEAD, Check


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


@pytest.fixture
def check(actions: Mapping[str, ActionSpec]) -> Check:
    """The problems of a document that is HEAD and a body."""

    def checked(body: str) -> list[str]:
        return [str(one) for one in parse(HEAD + textwrap.dedent(body), actions=actions).problems]

    return checked


@pytest.fixture
def steps(check: Check) -> Check:
    """The problems of a list of steps; their first line is line 6."""

    def checked(body: str) -> list[str]:
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "  ")
        return check(
            "inputs: {s: {type: string}, e: {type: enum, values: [a, bb]}, n: {type: integer}}\nsteps:\n"
            + body
        )

    return checked
