"""How a body is read without a mapping: by the usual field names, or refused."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import NotThisSource
from handrail.alerts.events import AlertStatus, Severity, as_text, fingerprint_of
from handrail.alerts.severities import read_severity
from handrail.alerts.times import read_time
from integrations.generic import fields
from integrations.generic.fields import Fields, Found, plain

SOURCE = "generic"
_ADVICE = "write a mapping for this source"
# The severities of a sender that has no status: an "ok" means that it is over.
_RESOLVED_SEVERITIES = frozenset({"ok", "normal", "cleared", "clear", "resolved", "recovered"})


def find_items(body: JsonValue) -> tuple[list[JsonValue], str]:
    """The alerts in a body and their JSON path: the array that it is or holds, else the body itself."""
    if isinstance(body, list):
        return body, "$"
    if isinstance(body, dict):
        for key, value in body.items():
            if plain(key) in fields.ITEM_KEYS and isinstance(value, list) and _all_objects(value):
                return value, f"$.{key}"
    return [body], ""


def find_status(item: Fields, path: str) -> AlertStatus:
    """The status: by the first word that means one. An alert that nowhere says how it stands is firing.

    Raises NotThisSource for a word under a name like `status` that no table knows, if nothing else tells.
    """
    for value in item.values(["heartbeat"]):  # Uptime Kuma: 0 is down, 1 is up
        beat = fields.HEARTBEATS.get(as_text(value.get("status")) or "") if isinstance(value, dict) else None
        if beat is not None:
            return beat
    unknown: Found | None = None
    for found in item.scalars(fields.STATUS_KEYS):
        status = _status_of(found)
        if status is AlertStatus.FIRING and _is_acknowledged(item):
            return AlertStatus.ACKNOWLEDGED
        if status is not None:
            return status
        strict = found.plain in fields.STATUS_ONLY_KEYS
        if (
            unknown is None
            and strict
            and not found.text.isdecimal()
            and not fields.is_placeholder(found.text)
        ):
            unknown = found
    if any(word.lower() in _RESOLVED_SEVERITIES for word in item.texts(fields.SEVERITY_KEYS)):
        return AlertStatus.RESOLVED
    if unknown is not None:
        raise NotThisSource(
            source=SOURCE,
            path=f"{path}..{unknown.key}",
            expected="a word that means firing or resolved",
            found=unknown.text,
            advice=f"{_ADVICE}, with that word in status.values",
        )
    return AlertStatus.FIRING


def find_severity(item: Fields) -> tuple[Severity, str]:
    """The first severity word that is known, else the first that there is."""
    words = list(item.texts(fields.SEVERITY_KEYS, placeholders=True))
    for word in words:
        severity = read_severity(word)
        if severity is not Severity.UNKNOWN:
            return severity, word
    return Severity.UNKNOWN, words[0] if words else ""


def find_title(item: Fields, path: str, raw: JsonValue) -> str:
    """The title, down to an address or an id. Raises NotThisSource when nothing could serve as one."""
    for texts in (
        item.texts(fields.TITLE_KEYS),
        item.outermost_texts(fields.NAME_KEYS),
        _place_and_thing(item),
        item.texts(fields.LAST_TITLE_KEYS),
        item.texts(fields.TITLE_KEYS, placeholders=True),
    ):
        for text in texts:
            return text
    raise NotThisSource(
        source=SOURCE,
        path=path,
        expected="an object with a title, name, summary or message",
        found=raw,
        advice=_ADVICE,
    )


def find_description(item: Fields) -> str:
    """The longest-winded field there is, or ""."""
    return next(item.texts(fields.DESCRIPTION_KEYS), "")


def find_fingerprint(item: Fields, title: str, labels: dict[str, str]) -> str:
    """The sender's id of the alert, not that of the message about it; else a digest of the title and the labels."""
    for name in fields.IDENTITY_KEYS:
        inside = item.enveloped() if name in fields.EVENT_ID_KEYS else []
        for place in [*inside, item]:
            for text in place.texts([name]):
                return text
    return fingerprint_of({**labels, "": title})


def find_labels(item: Fields) -> dict[str, str]:
    """Labels or tags, as an object, an array of words, an array of {key, value}, or "a:1,b"."""
    for value in item.values(fields.LABEL_KEYS):
        labels = read_labels(value)
        if labels:
            return labels
    return {}


def find_time(item: Fields, names: list[str]) -> dt.datetime | None:
    """The first value under these names that is a time."""
    return next((moment for value in item.values(names) if (moment := read_time(value))), None)


def read_labels(value: object) -> dict[str, str]:
    """Labels out of the shapes that senders use; what has no text is left out."""
    match value:
        case dict():
            texts = {str(key): _label_text(entry) for key, entry in value.items()}
            return {key: text for key, text in texts.items() if text is not None}
        case str():
            return _from_words(value.split(","))
        case list():
            labels: dict[str, str] = {}
            for entry in value:
                if isinstance(entry, dict):
                    name = as_text(entry.get("key")) or as_text(entry.get("name"))
                    text = _label_text(entry.get("value"))
                    if name and text is not None:
                        labels.setdefault(name, text)
                elif isinstance(entry, str):
                    labels.update(_from_words([entry]))
            return labels
        case _:
            return {}


def _is_acknowledged(item: Fields) -> bool:
    """Whether the event is that somebody took it on, which leaves the state at "triggered"."""
    return any(_status_of(each) is AlertStatus.ACKNOWLEDGED for each in item.scalars(fields.EVENT_KEYS))


def _place_and_thing(item: Fields) -> Iterator[str]:
    found = (
        next(item.texts(names), "")
        for names in (fields.PLACE_TITLE_KEYS, fields.THING_TITLE_KEYS, ["datapoint"])
    )
    words = " ".join(word for word in found if word)
    if words:
        yield words


def _from_words(words: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for word in words:
        name, _, text = word.strip().partition(":")
        if name and not fields.is_placeholder(name):
            labels[name.strip()] = text.strip()
    return labels


def _label_text(value: object) -> str | None:
    """A scalar, or OTLP's wrapped one: {"stringValue": "a"}."""
    if isinstance(value, dict) and len(value) == 1:
        return as_text(next(iter(value.values())))
    return as_text(value)


def _status_of(found: Found) -> AlertStatus | None:
    if found.plain == "eventvalue":  # Zabbix: 1 is a problem, 0 its end
        return {"0": AlertStatus.RESOLVED, "1": AlertStatus.FIRING}.get(found.text)
    if len(found.text) > 60:
        return None
    whole = fields.STATUS_WORDS.get(plain(found.text))
    if whole is not None or found.plain in fields.STATUS_ONLY_KEYS:
        return whole
    # "alert.resolved", "ALERT_RECOVERY", "incident.acknowledge": the last word tells.
    last = re.split(r"[_ :.\-]", found.text)[-1]
    return fields.STATUS_WORDS.get(plain(last))


def _all_objects(values: list[JsonValue]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)
