"""What expressions see: of the alert and the incident behind a run, in triggers and in steps; of a webhook."""

from __future__ import annotations

from handrail.alerts.events import Message
from handrail.alerts.models import Alert, Delivery
from handrail.incidents.models import Incident
from handrail.shared.links import alert_url, incident_url
from runbooks.language.definition import Json


def alert_names(alert: Alert) -> dict[str, Json]:
    """What expressions see as ``alert``."""
    return {
        "id": str(alert.pk),
        "title": alert.title,
        "description": alert.description,
        "status": alert.status,
        "severity": alert.severity,
        "fingerprint": alert.fingerprint,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "value": alert.value,
        "source": alert.source.name,
        "service": alert.service.slug if alert.service else "",
        "environment": alert.environment.slug if alert.environment else "",
        "started_at": alert.started_at.isoformat(),
        "url": alert_url(alert.pk),
    }


def incident_names(incident: Incident) -> dict[str, Json]:
    """What expressions see as ``incident``."""
    return {
        "id": str(incident.pk),
        "number": incident.number,
        "title": incident.title,
        "severity": incident.severity,
        "status": incident.status,
        "service": incident.service.slug if incident.service else "",
        "environment": incident.environment.slug if incident.environment else "",
        "key": incident.key,
        "url": incident_url(incident.pk),
    }


def webhook_names(message: Message, delivery: Delivery) -> dict[str, Json]:
    """What a trigger's expressions see as ``webhook``."""
    return {
        "id": str(delivery.pk),
        "source": delivery.source.name,
        "trust": delivery.trust,
        "received_at": delivery.received_at.isoformat(),
        "headers": dict(message.headers),
        "body": message.body,
    }
