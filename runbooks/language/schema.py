"""The JSON Schema of a runbook, made from the tables of kinds and fields.

For the editor, and for checking.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from runbooks.language.actions import ActionSpec
from runbooks.language.document import API_VERSION, DOCUMENT, REQUIRED
from runbooks.language.fields import Schema
from runbooks.language.kinds import COMMON, KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HOLE = {"type": "string", "pattern": r"\$\{\{"}


def json_schema(actions: Mapping[str, ActionSpec]) -> Schema:
    """The schema for editors and CI (draft 2020-12).

    Every field with its description, and each action's inputs.
    """
    schema = _document()
    calls = [
        {
            "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
            "then": {"properties": {"with": {"$ref": f"#/$defs/with/{name}"}}},
        }
        for name in sorted(actions)
    ]
    uses = {
        "description": "The action.",
        "oneOf": [{"const": name, "title": actions[name].title} for name in sorted(actions)],
    }
    for holder in _callers(schema["$defs"]):
        holder["properties"]["uses"] = uses
        holder["allOf"] = calls
    schema["$defs"]["with"] = {
        name: {**_with_holes(spec.inputs_schema), "title": spec.title} for name, spec in actions.items()
    }
    return schema


def _callers(definitions: Mapping[str, Schema]) -> list[Schema]:
    """Every part of the schema that calls an action: steps, probes, compensations."""
    found: list[Schema] = []
    for name in KINDS:
        stack: list[Schema] = [definitions[f"kind_{name}"]]
        while stack:
            schema = stack.pop()
            inner = schema.get("properties", {})
            if "uses" in inner:
                found.append(schema)
            stack.extend(part for part in inner.values() if "properties" in part)
    return found


def _with_holes(schema: Any) -> Any:
    """An action's inputs as a document writes them: any value may also be text that holds ``${{ }}``."""
    properties = schema.get("properties", {})
    return {
        **schema,
        "properties": {
            name: {"anyOf": [dict(part), _HOLE], "description": part.get("description", "")}
            for name, part in properties.items()
        },
    }


def _document() -> Schema:
    return {
        "$schema": DIALECT,
        "$id": "https://handrail.invalid/schema/runbook.json",
        "title": f"Handrail runbook ({API_VERSION})",
        "type": "object",
        "properties": _copied(DOCUMENT),
        "required": list(REQUIRED),
        "additionalProperties": False,
        "$defs": {"step": _step(), **{f"kind_{name}": _kind(name) for name in KINDS}},
    }


def _copied(schema: Any) -> Any:
    """A deep copy: the tables are shared, the schema that leaves here may be changed."""
    if isinstance(schema, Mapping):
        return {key: _copied(value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [_copied(value) for value in schema]
    return schema


def _step() -> Schema:
    by_kind = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/kind_{name}"},
        }
        for name in KINDS
    ]
    unnamed = {"if": {"not": {"required": ["kind"]}}, "then": {"$ref": "#/$defs/kind_action"}}
    return {
        "type": "object",
        "description": "A step.",
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [*by_kind, unnamed],
    }


def _kind(name: str) -> Schema:
    kind = KINDS[name]
    return {
        "title": name,
        "description": kind.summary,
        "type": "object",
        "properties": {**_copied(COMMON), **_copied(kind.fields)},
        "required": ["id", *kind.required],
        "additionalProperties": False,
    }


@lru_cache(maxsize=1)
def checking_schema() -> Schema:
    """The schema that documents are checked against.

    Actions' inputs are checked apart, with their templates.
    """
    return _document()


@lru_cache(maxsize=1)
def document_validator() -> jsonschema_rs.Draft202012Validator:
    """The compiled :func:`checking_schema`."""
    return jsonschema_rs.Draft202012Validator(checking_schema())


@lru_cache(maxsize=256)
def inputs_validator(schema_text: str) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema of one action's inputs, from its JSON text."""
    return jsonschema_rs.Draft202012Validator(schema_text)


def part_at(schema: Schema, path: list[str | int]) -> Schema:
    """The part of a schema that a validator's ``schema_path`` names, without its last word."""
    part: Any = schema
    for word in path[:-1]:
        try:
            part = part[word]
        except (KeyError, IndexError, TypeError):  # through a reference out of an action's schema
            return {}
    return part if isinstance(part, dict) else {}
