"""Any JSON or form body, turned into alerts by a mapping, or by the usual field names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from handrail.alerts.bodies import JsonValue, media_type, read_form, read_json
from handrail.alerts.errors import MappingError, NotThisSource
from handrail.alerts.events import MAX_EVENTS, AlertEvent, AlertStatus, Severity
from handrail.alerts.expressions import Scope
from handrail.alerts.severities import read_severity
from handrail.alerts.text import shown
from handrail.alerts.times import read_time
from integrations.generic import defaults, fields
from integrations.generic.fields import Fields, is_placeholder
from integrations.generic.mapping import FieldMapping, FieldRule, read_mapping

# Values handed to the expression library in all: at some 1.5 million a second, two seconds.
MAX_WORK = 3_000_000


@dataclass(frozen=True, slots=True)
class _Item:
    """One alert's part of the body, where it stands, and what the mapping's expressions see of it."""

    raw: JsonValue
    path: str
    fields: Fields
    scope: Scope | None


def parse(body: bytes, headers: Mapping[str, str], settings: Mapping[str, JsonValue]) -> list[AlertEvent]:
    """The alerts in a body. `settings` is the mapping document, empty for none.

    Raises MappingError for a mapping that is wrong or does not fit, NotThisSource for a body in which no
    alert can be seen, BodyTooLarge or UnreadableBody.
    """
    mapping = read_mapping(settings)
    document = read_body(body, headers)
    lowered = {name.lower(): value for name, value in headers.items()}
    items, path = _items(document, lowered, mapping)
    if not items:
        raise NotThisSource(source="generic", path=path or "$", expected="at least one alert", found=items)
    if len(items) > MAX_EVENTS:
        raise NotThisSource(
            source="generic", path=path, expected=f"at most {MAX_EVENTS:,} alerts", found=items
        )
    return _events(items, path, document, lowered, mapping)


def read_body(body: bytes, headers: Mapping[str, str]) -> JsonValue:
    """The document in a body: JSON whatever its type is called, a form, or the JSON in a form's field."""
    if media_type(headers) != "application/x-www-form-urlencoded":
        return read_json(body, headers)
    form = read_form(body, headers)
    for name in ("payload", "json", "data"):
        text = form.get(name)
        if isinstance(text, str) and text.lstrip()[:1] in ("{", "["):
            return read_json(text.encode("utf-8", "surrogatepass"))
    return form


def _items(
    document: JsonValue, headers: Mapping[str, str], mapping: FieldMapping
) -> tuple[list[JsonValue], str]:
    if mapping.items is None:
        # A mapping without `items` is about the body as a whole, unless the body is an array.
        return (
            ([document], "")
            if mapping.rules and not isinstance(document, list)
            else defaults.find_items(document)
        )
    found = mapping.items.evaluate(Scope({"body": document, "item": document, "headers": dict(headers)}))
    if isinstance(found, dict):
        return [found], "items"
    if not isinstance(found, list):
        raise MappingError(f"{mapping.items.described} should give an array of alerts, found {shown(found)}")
    return found, "items"


def _events(
    items: list[JsonValue], path: str, document: JsonValue, headers: Mapping[str, str], mapping: FieldMapping
) -> list[AlertEvent]:
    events: list[AlertEvent] = []
    work = 0
    for index, raw in enumerate(items):
        scope = None
        if mapping.rules or mapping.labels:
            variables: dict[str, JsonValue] = {"item": raw, "headers": dict(headers)}
            if mapping.needs_body:
                variables["body"] = document
            scope = Scope(variables)
            work += scope.values * (len(mapping.rules) + len(mapping.labels))
            if work > MAX_WORK:
                raise MappingError(
                    f"the mapping would take too long over {len(items):,} alerts: read `item` instead of "
                    "`body` in it, or send fewer alerts at a time"
                )
        place = f"{path}[{index}]" if path else "$"
        events.append(_event(_Item(raw=raw, path=place, fields=Fields(raw), scope=scope), mapping))
    return events


def _event(item: _Item, mapping: FieldMapping) -> AlertEvent:
    status = _status(item, mapping.rules.get("status"))
    severity, word = _severity(item, mapping.rules.get("severity"))
    title = _mapped_text(item, mapping.rules.get("title")) or defaults.find_title(
        item.fields, item.path, item.raw
    )
    labels = _labels(item, mapping)
    started, ended = fields.STARTED_KEYS, fields.ENDED_KEYS
    if status is AlertStatus.RESOLVED:
        ended = [*ended, *(name for name in started if name in fields.MESSAGE_TIME_KEYS)]
        started = [name for name in started if name not in fields.MESSAGE_TIME_KEYS]
    return AlertEvent(
        status=status,
        title=title,
        fingerprint=_mapped_text(item, mapping.rules.get("fingerprint"))
        or defaults.find_fingerprint(item.fields, title, labels),
        severity=severity,
        severity_word=word,
        description=_mapped_text(item, mapping.rules.get("description"))
        or defaults.find_description(item.fields),
        labels=labels,
        started_at=_time(item, mapping.rules.get("started_at"), started),
        ended_at=_time(item, mapping.rules.get("ended_at"), ended)
        if status is AlertStatus.RESOLVED
        else None,
    )


def _status(item: _Item, rule: FieldRule | None) -> AlertStatus:
    if rule is None or item.scope is None:
        return defaults.find_status(item.fields, item.path)
    word = rule.text(item.scope)
    status = fields.STATUS_WORDS.get(fields.plain(word))
    if status is None:
        raise MappingError(
            f"{rule.expression.described} gives {shown(word)}, which is no status: "
            f"add it to status.values as one of {', '.join(AlertStatus)}"
        )
    return status


def _severity(item: _Item, rule: FieldRule | None) -> tuple[Severity, str]:
    if rule is None or item.scope is None:
        return defaults.find_severity(item.fields)
    word = rule.text(item.scope)
    return read_severity(word), word


def _labels(item: _Item, mapping: FieldMapping) -> dict[str, str]:
    whole = mapping.rules.get("labels")
    if item.scope is None or (whole is None and not mapping.labels):
        return defaults.find_labels(item.fields)
    labels: dict[str, str] = {}
    if whole is not None:
        value = whole.evaluate(item.scope)
        if value is not None and not isinstance(value, dict | list | str):
            raise MappingError(f"{whole.expression.described} should give an object, found {shown(value)}")
        labels = defaults.read_labels(value)
    for name, rule in mapping.labels.items():
        text = rule.text(item.scope)
        if text:
            labels[name] = text
    return labels


def _time(item: _Item, rule: FieldRule | None, names: list[str]) -> dt.datetime | None:
    if rule is None or item.scope is None:
        return defaults.find_time(item.fields, names)
    value = rule.evaluate(item.scope)
    # Read like a text, so that the years 1 and 9999 are "not known" here, too, and no zone pushes them over the edge.
    return read_time(value.isoformat() if isinstance(value, dt.datetime) else value)


def _mapped_text(item: _Item, rule: FieldRule | None) -> str:
    text = "" if rule is None or item.scope is None else rule.text(item.scope)
    return "" if is_placeholder(text) else text
