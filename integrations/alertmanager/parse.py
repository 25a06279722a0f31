"""Alertmanager's webhook body, read alert by alert."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from handrail.alerts.bodies import JsonValue, read_json
from handrail.alerts.errors import NotThisSource
from handrail.alerts.events import MAX_EVENTS, AlertEvent, AlertStatus, as_text, fingerprint_of, first_text
from handrail.alerts.severities import read_severity
from handrail.alerts.times import read_time
from integrations.alertmanager.fingerprints import prometheus_fingerprint

SOURCE = "alertmanager"
_STATUSES = {"firing": AlertStatus.FIRING, "resolved": AlertStatus.RESOLVED}
_ENVELOPE_KEYS = frozenset(
    {
        "receiver",
        "status",
        "groupKey",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "version",
    }
)
_DESCRIPTIONS = ("description", "message", "summary")
_LINKS = {
    "generatorURL": "generator",
    "silenceURL": "silence",
    "dashboardURL": "dashboard",
    "panelURL": "panel",
    "imageURL": "image",
}


_ADVICE = "send the body of Alertmanager's webhook_configs, {status, alerts: [...]}"
_TRUNCATED = (
    "Alertmanager left {:,} more alerts of this group out of the body: "
    "raise max_alerts of its webhook, or group by more labels."
)


@dataclass(frozen=True, slots=True)
class _Group:
    """What the envelope says about all of its alerts; an alert's own word always wins over it."""

    status: AlertStatus | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    key: str
    receiver: str
    title: str
    external_url: str
    truncated: int


def parse(body: bytes, headers: Mapping[str, str]) -> list[AlertEvent]:
    """The alerts of a webhook body (versions 3 and 4, and Grafana's, which has the same shape), in its order.

    - **Status** is each alert's own; the group's counts only for an alert that has none.
    - **Title** is the label `alertname`, the name people gave the rule and search for; failing that the
      summary, then Grafana's group title. The summary is in `annotations`; `description` is the annotation
      of that name, else `message`, else `summary`.
    - **Labels** are the alert's own. Common labels stand in only for an alert that has none, and name a
      missing severity or title: by definition they cannot say anything that the alert's labels do not.
    - **Fingerprint** is the sender's. Where it is missing it is computed as Alertmanager does, from the
      labels; with no labels at all, from receiver and group key.
    - **Ended**: never for a firing alert (its `endsAt` is the year 1, or the moment in the future when it
      will be taken as resolved).

    A body without `alerts` (one bare alert), and one whose `alerts` is empty, are refused: Alertmanager sends
    neither, and taking them as "zero alerts, all well" would hide a broken sender. Unknown keys are ignored.

    Raises NotThisSource with the JSON path of the first thing that is wrong, BodyTooLarge or UnreadableBody.
    """
    document = read_json(body, headers)
    if not isinstance(document, dict):
        raise _wrong("$", "an object with the key alerts", document, _ADVICE)
    alerts = _alerts(document)
    group = _read_group(document)
    events = [_read_alert(alert, f"$.alerts[{index}]", group) for index, alert in enumerate(alerts)]
    if group.truncated:
        events[0] = replace(events[0], note=_TRUNCATED.format(group.truncated))
    return events


def _alerts(document: Mapping[str, JsonValue]) -> list[JsonValue]:
    if "alerts" not in document:
        bare = "labels" in document or "startsAt" in document
        advice = "this looks like one alert without its envelope: " if bare else ""
        raise _wrong("$", "an object with the key alerts", document, advice + _ADVICE)
    alerts = document["alerts"]
    if not isinstance(alerts, list):
        raise _wrong("$.alerts", "an array of alerts", alerts)
    if not alerts:
        raise _wrong(
            "$.alerts", "an array of at least one alert", alerts, "Alertmanager never sends an empty group"
        )
    if len(alerts) > MAX_EVENTS:
        raise _wrong(
            "$.alerts", f"an array of at most {MAX_EVENTS:,} alerts", alerts, "set max_alerts at the sender"
        )
    if not _ENVELOPE_KEYS & document.keys():
        raise _wrong("$", "an envelope with status, receiver or groupLabels beside alerts", document)
    return alerts


def _read_group(document: Mapping[str, JsonValue]) -> _Group:
    return _Group(
        status=_read_status(document.get("status"), "$.status"),
        labels=_read_texts(document.get("commonLabels"), "$.commonLabels"),
        annotations=_read_texts(document.get("commonAnnotations"), "$.commonAnnotations"),
        # A number in version 3; an older or a newer sender may leave it out.
        key=_scalar(document.get("groupKey"), "$.groupKey"),
        receiver=_scalar(document.get("receiver"), "$.receiver"),
        title=_scalar(document.get("title"), "$.title"),
        external_url=_scalar(document.get("externalURL"), "$.externalURL"),
        truncated=_read_count(document.get("truncatedAlerts")),
    )


def _read_alert(alert: JsonValue, path: str, group: _Group) -> AlertEvent:
    if not isinstance(alert, dict):
        raise _wrong(path, "an object", alert)
    status = _read_status(alert.get("status"), f"{path}.status") or group.status
    if status is None:
        raise _wrong(f"{path}.status", '"firing" or "resolved"', alert.get("status"))
    own_labels = _read_texts(alert.get("labels"), f"{path}.labels")
    annotations = _read_texts(alert.get("annotations"), f"{path}.annotations") or group.annotations
    labels = own_labels or group.labels
    word = first_text([labels.get("severity"), group.labels.get("severity")])
    ended_at = _read_moment(alert.get("endsAt"), f"{path}.endsAt")
    return AlertEvent(
        status=status,
        title=_title(labels, annotations, group),
        fingerprint=_fingerprint(alert, path, labels, group),
        severity=read_severity(word),
        severity_word=word,
        description=first_text(annotations.get(name) for name in _DESCRIPTIONS),
        labels=labels,
        annotations=annotations,
        started_at=_read_moment(alert.get("startsAt"), f"{path}.startsAt"),
        ended_at=ended_at if status is AlertStatus.RESOLVED else None,
        links=_links(alert, path, annotations, group),
        value=_value(alert, path),
    )


def _title(labels: Mapping[str, str], annotations: Mapping[str, str], group: _Group) -> str:
    return (
        first_text(
            [
                labels.get("alertname"),
                group.labels.get("alertname"),
                annotations.get("summary"),
                annotations.get("title"),
                group.title,
                group.receiver,
            ]
        )
        or "Alert without a name"
    )


def _fingerprint(alert: Mapping[str, JsonValue], path: str, labels: Mapping[str, str], group: _Group) -> str:
    sent = _scalar(alert.get("fingerprint"), f"{path}.fingerprint").strip()
    if sent:
        return sent
    if labels:
        return prometheus_fingerprint(labels)
    return fingerprint_of({"groupKey": group.key, "receiver": group.receiver})


def _read_status(value: JsonValue, path: str) -> AlertStatus | None:
    if value is None or value == "":
        return None
    status = _STATUSES.get(value.strip().lower()) if isinstance(value, str) else None
    if status is None:
        raise _wrong(path, '"firing" or "resolved"', value)
    return status


def _read_texts(value: JsonValue, path: str) -> dict[str, str]:
    """Labels or annotations. Numbers and booleans of hand-made senders become text; a null is no label."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(path, "an object of texts", value)
    texts: dict[str, str] = {}
    for name, entry in value.items():
        text = as_text(entry)
        if text is not None:
            texts[name] = text
        elif entry is not None:
            raise _wrong(f"{path}.{name}", "a text", entry)
    return texts


def _scalar(value: JsonValue, path: str) -> str:
    text = as_text(value)
    if text is None and value is not None:
        raise _wrong(path, "a text", value)
    return text or ""


def _read_count(value: JsonValue) -> int:
    """How many alerts were left out; 0 where nothing sensible is said: the alerts that came are worth more."""
    digits = (as_text(value) or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def _read_moment(value: JsonValue, path: str) -> dt.datetime | None:
    """None for "not set", and for text that is no time: an alert is worth more than its time."""
    if isinstance(value, bool | list | dict):
        raise _wrong(path, "a time (RFC 3339)", value)
    return read_time(value)


def _links(
    alert: Mapping[str, JsonValue], path: str, annotations: Mapping[str, str], group: _Group
) -> dict[str, str]:
    links = {name: _scalar(alert.get(key), f"{path}.{key}") for key, name in _LINKS.items()}
    links["runbook"] = annotations.get("runbook_url", "")
    links["source"] = group.external_url
    return {name: link for name, link in links.items() if link}


def _value(alert: Mapping[str, JsonValue], path: str) -> str | float | None:
    """Grafana's `values` when there is just one, else its `valueString`; Alertmanager sends no value."""
    values = alert.get("values")
    if isinstance(values, dict) and len(values) == 1:
        only = next(iter(values.values()))
        if isinstance(only, int | float) and not isinstance(only, bool):
            return float(only)
    elif values is not None and not isinstance(values, dict):
        raise _wrong(f"{path}.values", "an object of numbers", values)
    return _scalar(alert.get("valueString"), f"{path}.valueString") or None


def _wrong(path: str, expected: str, found: object, advice: str = "") -> NotThisSource:
    return NotThisSource(source=SOURCE, path=path, expected=expected, found=found, advice=advice)
