"""An admin's mapping: which expression gives which field of the alert, compiled and checked."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import MappingError
from handrail.alerts.events import as_text
from handrail.alerts.expressions import Expression, MissingKey, Scope, compile_expression
from handrail.alerts.text import shown

FIELDS = (
    "items", "status", "severity", "title", "description", "fingerprint", "labels", "started_at", "ended_at",
)  # fmt: skip
VARIABLES = frozenset({"body", "item", "headers"})
MAX_LABEL_EXPRESSIONS = 50
MAX_TABLE = 200


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field is found: an expression, a table for its value, and what stands in for a missing one."""

    expression: Expression
    values: Mapping[str, str]
    default: str | None

    def evaluate(self, scope: Scope) -> object:
        """The field's value: mapped by the table where it is in it, the default for a missing or null one.

        Raises MappingError, MissingKey when there is no default.
        """
        try:
            value = self.expression.evaluate(scope)
        except MissingKey:
            if self.default is None:
                raise
            return self.default
        if value is None:
            return self.default
        text = as_text(value)
        return self.values.get(text, value) if text is not None else value

    def text(self, scope: Scope) -> str:
        """The value as text; "" for null. Raises MappingError for an object or an array."""
        value = self.evaluate(scope)
        if isinstance(value, dt.datetime):
            return value.isoformat()
        text = as_text(value)
        if text is None and value is not None:
            raise MappingError(f"{self.expression.described} should give a text, found {shown(value)}")
        return (text or "").strip()


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """A whole mapping; a field that it leaves out is read by the usual names."""

    items: Expression | None
    rules: Mapping[str, FieldRule]
    labels: Mapping[str, FieldRule]

    @property
    def needs_body(self) -> bool:
        """True when a field's expression reads `body`: then every alert's scope carries the whole body."""
        return any("body" in rule.expression.roots for rule in [*self.rules.values(), *self.labels.values()])


def read_mapping(document: Mapping[str, JsonValue]) -> FieldMapping:
    """Compile a mapping document; raises MappingError with the place of the first mistake.

    Each of `status, severity, title, description, fingerprint, started_at, ended_at` is an expression, or
    an object `{expression, values, default}`; `labels` is one expression that gives an object, or an object
    of them by label; `items` is an expression that gives the array of alerts.
    """
    for key in document:
        if key not in FIELDS:
            near = difflib.get_close_matches(key, FIELDS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise MappingError(
                f"the mapping has no field {shown(key)}{hint}; its fields are {', '.join(FIELDS)}"
            )
    items = document.get("items")
    rules = {
        name: _rule(document[name], name)
        for name in FIELDS
        if name in document and name not in ("items", "labels")
    }
    return FieldMapping(
        items=None if items is None else compile_expression(items, "items", VARIABLES),
        rules=rules | _whole_labels(document.get("labels")),
        labels=_single_labels(document.get("labels")),
    )


def _whole_labels(labels: JsonValue) -> dict[str, FieldRule]:
    return {"labels": _rule(labels, "labels")} if isinstance(labels, str) else {}


def _single_labels(labels: JsonValue) -> dict[str, FieldRule]:
    if labels is None or isinstance(labels, str):
        return {}
    if not isinstance(labels, dict):
        raise MappingError(f"labels: should be an expression or an object of them, found {shown(labels)}")
    if len(labels) > MAX_LABEL_EXPRESSIONS:
        raise MappingError(f"labels: there are more than {MAX_LABEL_EXPRESSIONS} of them")
    return {name: _rule(rule, f"labels.{name}") for name, rule in labels.items()}


def _rule(rule: JsonValue, place: str) -> FieldRule:
    if not isinstance(rule, dict):
        return FieldRule(expression=compile_expression(rule, place, VARIABLES), values={}, default=None)
    unknown = [key for key in rule if key not in ("expression", "values", "default")]
    if unknown:
        raise MappingError(
            f"{place}: should have expression, values and default only, found {shown(unknown[0])}"
        )
    default = rule.get("default")
    if default is not None and not isinstance(default, str):
        raise MappingError(f"{place}.default: should be a text, found {shown(default)}")
    return FieldRule(
        expression=compile_expression(rule.get("expression"), place, VARIABLES),
        values=_table(rule.get("values"), f"{place}.values"),
        default=default,
    )


def _table(values: JsonValue, place: str) -> dict[str, str]:
    if values is None:
        return {}
    if not isinstance(values, dict) or len(values) > MAX_TABLE:
        raise MappingError(
            f"{place}: should be an object of at most {MAX_TABLE} texts, found {shown(values)}"
        )
    table: dict[str, str] = {}
    for word, meaning in values.items():
        if not isinstance(meaning, str):
            raise MappingError(f"{place}.{word}: should be a text, found {shown(meaning)}")
        table[word] = meaning
    return table
