"""The inputs that a document declares: what other checks may know of them, and whether they make sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import jsonschema_rs

from runbooks.language import build
from runbooks.language.definition import InputSpec
from runbooks.language.fields import INPUT
from runbooks.language.inputs import spec_problems
from runbooks.language.outline import Path, items_of, text_of
from runbooks.language.problems import WARNING, Problems, path_text
from runbooks.language.reading import Fields
from runbooks.language.scope import InputFacts
from runbooks.language.yaml import Document, Node


@lru_cache(maxsize=1)
def _valid_spec() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(INPUT)


def declared_inputs(node: Node | None) -> Mapping[str, InputFacts]:
    """What is known of each declared input, even of those that are wrong in some way."""
    found: dict[str, InputFacts] = {}
    for name in node.keys if node is not None else ():
        spec = node.children.get(name) if node is not None else None
        values = items_of(spec.children.get("values")) if spec is not None else iter(())
        words = tuple(value.data for value in values if isinstance(value.data, str))
        kind = text_of(spec, "type")
        found[name] = InputFacts(kind, words if kind == "enum" else ())
    return found


def specs_of(node: Node | None) -> dict[str, InputSpec]:
    """The declarations that have the right shape, typed."""
    found: dict[str, InputSpec] = {}
    for name, spec in node.children.items() if node is not None else ():
        if isinstance(name, str) and isinstance(spec.data, dict) and _valid_spec().is_valid(spec.data):
            found[name] = _typed(name, Fields(spec.data))
    return found


def _typed(name: str, fields: Fields) -> InputSpec:
    try:
        return build.input_spec(name, fields)
    except ValueError:  # a default that is no duration: kept as it is, so that checking it says so
        plain = {key: value for key, value in fields.data.items() if key != "default"}
        return replace(
            build.input_spec(name, Fields(plain)), default=fields.data["default"], has_default=True
        )


def check_input_specs(document: Document, path: Path, problems: Problems) -> None:
    """Whether the declarations make sense: patterns, bounds, defaults."""
    holder = document.find(path)
    for name, spec in specs_of(holder).items():
        node = document.find((*path, name))
        if node is None:
            continue
        for field, message in spec_problems(spec):
            place = node.children[field].span if field in node.children else node.span
            problems.add(place, path_text((*path, name, field)), message)
        if spec.required and spec.has_default:
            problems.add(
                node.children["default"].span,
                path_text((*path, name, "default")),
                "'required' means nothing here: this default is used when no value is given.",
                severity=WARNING,
            )
