"""The main job, over real sockets with real processes, on every backend."""

from __future__ import annotations

import pytest

from handrail.demo.slack.callbacks import Answer
from handrail.incidents.models import Incident, Postmortem, TimelineEvent
from runbooks.models import Run
from tests.flows.harness import LIN, Installation, buttons_of, unique
from tests.flows.patience import eventually
from tests.flows.services import embedded, no_broker, postgres_rabbitmq, postgres_redis

pytestmark = pytest.mark.parametrize(
    "backend", [embedded, no_broker, postgres_redis, postgres_rabbitmq], indirect=True, scope="module"
)


def test_an_alert_is_contained_after_an_approval_in_slack_and_leaves_a_postmortem(
    handrail: Installation,
) -> None:
    service = unique("checkout")
    handrail.production.failing.add(service)

    answer = handrail.send_alert("HighErrorRate", service)
    assert answer.status_code == 202, answer.text
    incident = handrail.incident(service)
    assert incident.status != Incident.Status.RESOLVED

    approval = handrail.await_approval(service)
    card = handrail.card(approval)
    assert {"approval.approve", "approval.deny"} <= buttons_of(card)
    shifts = [(e["effect"], e.get("weight")) for e in handrail.production.effects_on(service)]
    assert shifts == [("traffic.weight", 0), ("traffic.weight", 100)], (
        "shifted, and undone as it did not help"
    )

    assert handrail.click(LIN, card, "approval.approve") == Answer(200, "")
    run = handrail.await_run(service, "succeeded", "failed", "cancelled")

    assert (run.state, run.outcome) == ("succeeded", {"recovered": True})
    approval = handrail.await_approval(service, "approved")
    assert (approval.decided_by, approval.decided_channel) == ("Lin Schneider", "slack")
    effects = handrail.production.effects_on(service)
    assert [entry["effect"] for entry in effects] == ["traffic.weight", "traffic.weight", "database.failover"]
    assert len({entry["key"] for entry in effects}) == 3, "each with an idempotency key of its own"
    decided = handrail.await_decided_card(approval)
    assert "Lin Schneider" in str(decided.blocks)

    assert handrail.send_alert("HighErrorRate", service, "resolved").status_code == 202
    resolved = eventually(
        "the incident resolves",
        lambda: handrail.rows(Incident).filter(pk=incident.pk, status=Incident.Status.RESOLVED).first(),
    )
    assert resolved.contained_at is not None
    assert handrail.rows(Run).filter(incident=incident).count() == 1
    _assert_proven(handrail, resolved)


def _assert_proven(handrail: Installation, incident: Incident) -> None:
    """The incident's postmortem draft is there, and its lines lead to what proves them."""
    drafts = handrail.rows(Postmortem).filter(incident=incident)
    draft = eventually("a postmortem draft", drafts.prefetch_related("sections").first)
    events = {str(event.pk): event for event in handrail.rows(TimelineEvent).filter(incident=incident)}
    lines = [line for section in draft.sections.all() for line in section.lines]
    evidence = {event for line in lines for event in line["events"]}
    assert evidence, "no line has any evidence"
    assert evidence <= set(events), "every line is about events of this incident"
    proven = {events[event].kind for event in evidence}
    assert {"alert.fired", "run.started", "approval.decided", "step.succeeded", "incident.resolved"} <= proven
    seen = handrail.api(f"incidents/{incident.pk}/postmortem/")
    assert seen["url"].startswith(handrail.base_url)
    assert len(seen["sections"]) == len(draft.sections.all())


def test_the_audit_trail_of_all_that_is_whole(handrail: Installation) -> None:
    done = handrail.run("audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
