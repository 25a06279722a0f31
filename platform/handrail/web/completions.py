"""What the editor offers at each place of a runbook, made from the language's own schema and the actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from runbooks.language.definition import InputType
from runbooks.language.document import DOCUMENT
from runbooks.language.kinds import COMMON, KINDS
from runbooks.steps.registry import specs

_INSIDE = ("steps[]", "cases[].steps[]", "default[]")
_STEP_LISTS = (
    "steps[]",
    *(f"steps[].{inner}" for inner in _INSIDE),
    *(f"steps[].{outer}.{inner}" for outer in _INSIDE for inner in _INSIDE),
    "on_failure[]",
    "finally[]",
)
_DEEPEST = 5

Table = dict[str, dict[str, Any]]


@lru_cache(maxsize=1)
def completions() -> Table:
    """``{path: {"keys": [...], "values": {key: [...]}}}``, with ``[]`` in a path for a list's item."""
    table: Table = {}
    _offer(table, "", DOCUMENT)
    fields = _step_fields()
    inputs = _action_inputs()
    for path in _STEP_LISTS:
        _offer(table, path, fields)
        table[path]["values"]["kind"] = [
            {"label": kind.name, "info": kind.summary} for kind in KINDS.values()
        ]
        for caller in (path, f"{path}.probe", f"{path}.compensate"):
            entry = table.setdefault(caller, {"keys": [], "values": {}})
            entry["values"]["uses"] = [
                {"label": spec.name, "detail": spec.effect.value, "info": spec.description or spec.title}
                for spec in specs().values()
            ]
            table[f"{caller}.with"] = {"keys": inputs, "values": {}}
    table.setdefault("inputs", {"keys": [], "values": {}})
    table["*"] = {"keys": [], "values": {"type": [kind.value for kind in InputType]}}
    return table


def _step_fields() -> dict[str, Mapping[str, Any]]:
    """The fields of all kinds of steps together: what fits is said by the check, as soon as a kind is given."""
    found: dict[str, Mapping[str, Any]] = dict(COMMON)
    for kind in KINDS.values():
        for name, schema in kind.fields.items():
            found.setdefault(name, schema)
    return found


def _action_inputs() -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for spec in specs().values():
        for name, schema in _properties(spec.inputs_schema).items():
            known = found.setdefault(name, {"label": name, "detail": spec.name, "info": _said(schema)})
            if known["detail"] != spec.name:
                known["detail"] = f"{known['detail']}, {spec.name}"
    return [found[name] for name in sorted(found)]


def _offer(table: Table, path: str, fields: Mapping[str, Any], depth: int = 0) -> None:
    """Offer the fields at a path, and what is inside them below it."""
    entry = table.setdefault(path, {"keys": [], "values": {}})
    for name, schema in fields.items():
        entry["keys"].append({"label": name, "info": _said(schema)})
        values = list(_values(schema))
        if values:
            entry["values"][name] = values
        if depth >= _DEEPEST or not isinstance(schema, Mapping):
            continue
        below = f"{path}.{name}" if path else name
        if inner := _properties(schema):
            _offer(table, below, inner, depth + 1)
        items = schema.get("items")
        if isinstance(items, Mapping) and (inner := _properties(items)):
            _offer(table, f"{below}[]", inner, depth + 1)


def _values(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    yield from (str(value) for value in schema.get("enum", []))
    if isinstance(schema.get("const"), str):
        yield schema["const"]


def _properties(schema: Any) -> Mapping[str, Any]:
    found = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _said(schema: Any) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""
