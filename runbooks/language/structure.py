"""Checks the shape of a document against the schema and says what is wrong in words, at its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import jsonschema_rs

from runbooks.language.definition import Json
from runbooks.language.expressions import OPEN
from runbooks.language.fields import Schema
from runbooks.language.kinds import KINDS, LATER_FIELDS, kind_named
from runbooks.language.problems import Problems, Span, listed, nearest, path_text
from runbooks.language.schema import checking_schema, document_validator, inputs_validator, part_at
from runbooks.language.yaml import Document, Node

Path = tuple[str | int, ...]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}

_WORDS = {
    "maxItems": "At most {limit} are allowed.",
    "maxProperties": "At most {limit} are allowed.",
    "minLength": "This must not be empty.",
    "maxLength": "This is too long: {limit} characters are allowed.",
    "minimum": "This must be at least {limit}.",
    "maximum": "This must be at most {limit}.",
    "exclusiveMinimum": "This must be more than {limit}.",
    "exclusiveMaximum": "This must be less than {limit}.",
}


def check_document(document: Document, root: Node, problems: Problems) -> None:
    """All deviations from the schema. Of a document that was cut short, missing fields are not reported."""
    _Reporter(document, problems, checking_schema(), ()).report(
        document_validator().iter_errors(root.data), incomplete=not document.complete
    )


def check_inputs_of_action(
    document: Document, schema: Mapping[str, Json], path: Path, problems: Problems
) -> None:
    """What is knowably wrong with the ``with`` of a call.

    Values that hold ``${{ }}`` are known only when rendered.
    """
    node = document.find(path)
    data: Json = node.data if node else {}
    text = json.dumps(schema, sort_keys=True)
    _Reporter(document, problems, dict(schema), path, templates=True).report(
        inputs_validator(text).iter_errors(data), incomplete=not document.complete
    )


class _Reporter:
    """Turns validation errors into problems."""

    def __init__(
        self,
        document: Document,
        problems: Problems,
        schema: Schema,
        base: Path,
        *,
        templates: bool = False,
    ) -> None:
        self.document = document
        self.problems = problems
        self.schema = schema
        self.base = base
        self.templates = templates

    def report(self, errors: Iterable[jsonschema_rs.ValidationError], *, incomplete: bool) -> None:
        """Add a problem for each error."""
        for error in errors:
            if incomplete and error.kind.name in ("required", "minItems", "minProperties"):
                continue
            self._one(error)

    def _one(self, error: jsonschema_rs.ValidationError) -> None:
        path = (*self.base, *error.instance_path)
        part = part_at(self.schema, list(error.schema_path))
        name = error.kind.name
        if name == "additionalProperties":
            self._unknown_keys(path, part)
            return
        node = self.document.find(path)
        value = node.data if node else None
        if self.templates and name != "required" and _holds_template(value):
            return
        if name == "required":
            self._missing(path, str(error.kind.as_dict()["property"]))
        elif name == "propertyNames":
            schema_path = list(error.schema_path)
            holder = schema_path[: schema_path.index("propertyNames") + 1]
            self._bad_names(path, part_at(self.schema, holder))
        elif name == "enum":
            self._not_one_of(path, value, [str(option) for option in error.kind.as_dict()["options"]])
        else:
            self._add(path, self._words(name, error, part, value))

    def _add(
        self, path: Path, message: str, *, span: Span | None = None, suggestion: str | None = None
    ) -> None:
        place = span or self._place(path)
        self.problems.add(place, path_text(path), message, suggestion=suggestion)

    def _place(self, path: Path) -> Span:
        """Where a value stands; for a collection, the key that introduces it."""
        node = self.document.find(path)
        if node is not None and not isinstance(node.data, (dict, list)):
            return node.span
        return self._key_place(path) or (node.span if node else Span())

    def _key_place(self, path: Path) -> Span | None:
        holder = self.document.find(path[:-1]) if path else None
        return holder.keys.get(str(path[-1])) if holder and isinstance(path[-1], str) else None

    def _unknown_keys(self, path: Path, part: Schema) -> None:
        node = self.document.find(path)
        if node is None:
            return
        known = list(part.get("properties", {}))
        for key, span in node.keys.items():
            if key in known:
                continue
            message, suggestion = self._unknown_key(key, node, part, known)
            self._add((*path, key), message, span=span, suggestion=suggestion)

    def _unknown_key(self, key: str, node: Node, part: Schema, known: list[str]) -> tuple[str, str | None]:
        kind = part.get("title")
        if kind in KINDS and "id" in known:
            data = node.data if isinstance(node.data, dict) else {}
            if key in LATER_FIELDS:
                return f"'{key}' is not available in this version.", None
            holders = [name for name, other in KINDS.items() if key in other.fields]
            if holders:
                named = "" if "kind" in data else " (a step without 'kind' is an action)"
                return (
                    f"'{key}' does not apply to the kind '{kind}'{named}; it belongs to {listed(holders)}.",
                    None,
                )
        suggestion = nearest(key, known)
        hint = "" if suggestion or not known else f" Known here: {listed(known)}."
        return f"'{key[:60]}' is not a known field.{hint}", suggestion

    def _missing(self, path: Path, name: str) -> None:
        node = self.document.find(path)
        data = node.data if node and isinstance(node.data, dict) else {}
        suggestion = (
            nearest(name, [key for key in data if key not in part_names(self.schema, data)]) if data else None
        )
        message = f"'{name}' is missing."
        if name == "uses" and "kind" not in data:
            message = (
                f"'uses' is missing: a step without 'kind' is an action (the kinds are {listed(KINDS)})."
            )
        if suggestion:
            return  # the misspelt key is reported with its suggestion
        self._add(path, message)

    def _bad_names(self, path: Path, part: Schema) -> None:
        node = self.document.find(path)
        names = part.get("propertyNames", {})
        checker = jsonschema_rs.Draft202012Validator(names)
        for key, span in node.keys.items() if node else ():
            if not checker.is_valid(key):
                say = names.get("x-say", "a shorter name")
                self._add((*path, key), f"'{key[:60]}' cannot be a name here: it must be {say}.", span=span)

    def _not_one_of(self, path: Path, value: Json, options: list[str]) -> None:
        shown = value if isinstance(value, str) else json.dumps(value)
        suggestion = nearest(shown, options) if isinstance(value, str) else None
        self._add(path, f"'{shown[:60]}' is not one of {listed(options)}.", suggestion=suggestion)

    def _words(self, name: str, error: jsonschema_rs.ValidationError, part: Schema, value: Json) -> str:
        facts: Mapping[str, object] = error.kind.as_dict()
        if part.get("x-say") and name != "maxLength":
            return f"This must be {part['x-say']}."
        if name in _WORDS:
            return _WORDS[name].format(limit=facts.get("limit"))
        match name:
            case "type":
                types = facts["types"]
                wanted = [_TYPES[str(word)] for word in types] if isinstance(types, list) else []
                return f"This must be {listed(wanted)}, not {_what(value)}."
            case "const":
                return f"This must be {json.dumps(facts['expected_value'])}."
            case "minItems" | "minProperties":
                return (
                    "This must not be empty."
                    if facts["limit"] == 1
                    else f"At least {facts['limit']} are needed."
                )
            case "pattern":
                return f"This does not match {part.get('pattern')}."
            case _:
                return f"This is not allowed here: {error.message[:200]}."


def part_names(schema: Schema, data: Mapping[str, Json]) -> set[str]:
    """Every field name that a step or the document may have: what is not among them may be a misspelling."""
    kind = kind_named(data.get("kind", "action"))
    names = set(schema.get("properties", {}))
    if kind and "$defs" in schema:
        names |= set(schema["$defs"][f"kind_{kind.name}"]["properties"])
    return names


def _holds_template(value: Json) -> bool:
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str) and OPEN in part:
            return True
        if isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
    return False


def _what(value: Json) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return {str: "text", list: "a list", dict: "a mapping"}[type(value)]
