"""The database itself refuses to change what happened."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from handrail.accounts.models import Project
from handrail.audit.actions import record
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from runbooks.models import RunEvent
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(project: Project) -> AuditEntry:
    return record(Actor.system("test"), "project.looked_at", project)


@pytest.fixture
def event(project: Project) -> RunEvent:
    return factories.run_events(factories.run(factories.runbook(project)), "run_started")[0]


def test_an_audit_entry_cannot_be_changed(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(action="nothing.happened")


def test_an_audit_entry_cannot_be_deleted(entry: AuditEntry) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        entry.delete()


def test_an_event_of_a_run_cannot_be_changed(event: RunEvent) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        RunEvent.objects.filter(pk=event.pk).update(data={"forged": True})


def test_a_run_with_history_cannot_be_deleted(event: RunEvent) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        event.run.delete()


def test_replacing_a_row_does_not_slip_past(entry: AuditEntry) -> None:
    statement = (
        "REPLACE INTO audit_auditentry SELECT * FROM audit_auditentry"
        if connection.vendor == "sqlite"
        else "TRUNCATE audit_auditentry"
    )
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
