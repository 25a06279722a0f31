"""The numbers of a timeline have no gaps, whatever its transaction knows already and whatever of it is undone."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project
from handrail.incidents import timeline, transitions
from handrail.incidents.lifecycle import Verb
from handrail.incidents.models import Incident, TimelineEvent
from handrail.incidents.numbering import lock_project
from handrail.incidents.opening import Opening, create
from handrail.shared.actors import Actor
from handrail.shared.clock import now

pytestmark = pytest.mark.django_db(transaction=True)

SYSTEM = Actor.system("test")


def opened(project: Project) -> Incident:
    """An incident of this transaction's own."""
    lock_project(project)
    told = Opening(title="Errors", severity="sev2", started_at=now(), detected_at=now(), why="a test")
    return create(project, told, actor=SYSTEM)


def tell(incident: Incident, text: str, key: str = "") -> TimelineEvent:
    return timeline.add(incident, "note.added", text, actor=SYSTEM, dedupe_key=key)


def told(incident: Incident) -> list[tuple[int, str]]:
    """Number and text of every event but the first, and the row's last number."""
    incident.refresh_from_db()
    events = list(incident.timeline.order_by("n").values_list("n", "text"))
    assert [n for n, _ in events] == list(range(1, incident.timeline_n + 1))
    return events[1:]


def test_of_an_incident_that_it_has_opened_a_transaction_asks_nothing(project: Project) -> None:
    with transaction.atomic():
        incident = opened(project)
        with CaptureQueriesContext(connection) as captured:
            tell(incident, "a")
            tell(incident, "b", "key")
        looks = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
        assert not looks
        assert tell(incident, "again", "key").text == "b"
    assert told(incident) == [(2, "a"), (3, "b")]
    tell(incident, "later", "key")
    tell(incident, "last")
    assert told(incident) == [(2, "a"), (3, "b"), (4, "last")]


def test_what_a_savepoint_undoes_leaves_no_gap_and_no_key(project: Project) -> None:
    with transaction.atomic():
        incident = opened(project)
        tell(incident, "a")
        with transaction.atomic():
            tell(incident, "undone", "key")
            transaction.set_rollback(True)
        tell(incident, "b", "key")
    assert told(incident) == [(2, "a"), (3, "b")]


def test_an_incident_that_was_undone_and_opened_anew_begins_at_one(project: Project) -> None:
    with transaction.atomic():
        with transaction.atomic():
            tell(opened(project), "undone")
            transaction.set_rollback(True)
        incident = opened(project)
        tell(incident, "a")
    assert told(incident) == [(2, "a")]


def test_one_that_was_resolved_since_gets_its_draft_for_what_happens_after(project: Project) -> None:
    with transaction.atomic():
        incident = opened(project)
        transitions.move(incident, Verb.RESOLVE, actor=SYSTEM, reason="It was nothing.")
        Incident.objects.filter(pk=incident.pk).update(draft_due_at=None)
        tell(incident, "after the end")
        incident.refresh_from_db()
        assert incident.draft_due_at is not None
