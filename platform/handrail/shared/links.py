"""Absolute addresses of Handrail's pages, for messages, timelines and exports that leave the site."""

from __future__ import annotations

import uuid

from django.conf import settings

Id = uuid.UUID | str


def absolute(path: str) -> str:
    """``path`` (with its leading slash) on the configured ``BASE_URL``."""
    base: str = settings.BASE_URL
    return f"{base.rstrip('/')}{path}"


def incident_url(incident_id: Id) -> str:
    """The page of an incident."""
    return absolute(f"/incidents/{incident_id}/")


def event_url(incident_id: Id, n: int) -> str:
    """One event of an incident's timeline: event ``n`` on the incident's page."""
    return f"{incident_url(incident_id)}#event-{n}"


def postmortem_url(incident_id: Id) -> str:
    """The page of an incident's postmortem."""
    return absolute(f"/incidents/{incident_id}/postmortem/")


def alert_url(alert_id: Id) -> str:
    """The page of an alert episode."""
    return absolute(f"/alerts/{alert_id}/")


def run_url(run_id: Id) -> str:
    """The page of a run."""
    return absolute(f"/runs/{run_id}/")


def step_url(run_id: Id, step_id: Id) -> str:
    """A step of a run."""
    return absolute(f"/runs/{run_id}/steps/{step_id}/")


def approval_url(approval_id: Id) -> str:
    """The page of an approval."""
    return absolute(f"/approvals/{approval_id}/")


def runbook_url(project_slug: str, slug: str) -> str:
    """The page of a runbook."""
    return absolute(f"/runbooks/{project_slug}/{slug}/")


def dead_letter_url(letter_id: Id) -> str:
    """The page of a dead letter."""
    return absolute(f"/dead-letters/{letter_id}/")
