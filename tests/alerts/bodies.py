"""Bodies of senders, as the tests need them: Alertmanager's version 4, and a hand-made JSON."""

from __future__ import annotations

import json
from typing import Any

START = "2026-11-22T10:00:00Z"
NOT_ENDED = "0001-01-01T00:00:00Z"


def alert(name: str = "HighErrorRate", **fields: Any) -> dict[str, Any]:
    """One alert of a group: firing unless told otherwise, on checkout in eu-1."""
    labels = {"alertname": name, "service": "checkout", "region": "eu-1", "severity": "critical"}
    labels.update(fields.pop("labels", {}))
    made: dict[str, Any] = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{name} on {labels['service']}"},
        "startsAt": START,
        "endsAt": NOT_ENDED,
        "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        "fingerprint": f"{name}-{labels['service']}",
    }
    made.update(fields)
    return made


def resolved(
    name: str = "HighErrorRate", *, ended: str = "2026-11-22T10:10:00Z", **fields: Any
) -> dict[str, Any]:
    return alert(name, status="resolved", endsAt=ended, **fields)


def group(*alerts: dict[str, Any]) -> bytes:
    """Alertmanager's body around the alerts."""
    given = list(alerts) or [alert()]
    firing = any(one["status"] == "firing" for one in given)
    return json.dumps(
        {
            "version": "4",
            "groupKey": '{}:{alertname="HighErrorRate"}',
            "truncatedAlerts": 0,
            "status": "firing" if firing else "resolved",
            "receiver": "handrail",
            "groupLabels": {"alertname": "HighErrorRate"},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example",
            "alerts": given,
        }
    ).encode()
