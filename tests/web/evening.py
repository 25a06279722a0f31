"""A plausible evening: an incident in the middle of its containment, a quiet one and one that is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from handrail.accounts.actions import add_member
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project, User
from handrail.alerts.models import Alert
from handrail.audit.actions import record
from handrail.incidents import actions, timeline
from handrail.incidents.models import Incident, IncidentAlert
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import now
from runbooks.models import Approval, Run, StepRun
from tests import factories
from tests.web import scene as runs
from tests.web.scene import Scene

BODY = b"""{"version": "4", "status": "firing", "receiver": "handrail", "groupLabels": {"alertname": "HighErrorRate"},
"alerts": [{"status": "firing", "labels": {"alertname": "HighErrorRate", "service": "checkout", "region": "eu-1",
"severity": "critical"}, "annotations": {"summary": "<script>alert(1)</script> 8.4 % of requests fail"},
"startsAt": "2026-03-01T10:02:00Z"}]}"""
ROBOT = Actor.system("high-error-rate v1")


@dataclass
class Evening:
    """``ada`` may do everything and is asked for approvals, ``resi`` responds, ``vera`` only looks."""

    scene: Scene
    project: Project
    ada: User
    resi: User
    vera: User
    alert: Alert
    approval: Approval
    run: Run
    unknown: StepRun
    incident: Incident
    quiet: Incident
    ended: Incident


@transaction.atomic
def evening(scene: Scene | None = None) -> Evening:
    """The rows of it, made by the product's own actions where they exist."""
    scene, at = scene or runs.scene(), now()
    add_member(scene.dbas, scene.admin, actor=CONSOLE)
    resi = factories.person("resi", {scene.project: "responder"}, name="Resi Vogt")
    alert = _alert(scene.project, at)
    incident = _incident(scene.project, alert, at)
    approval = runs.asking(scene, run_fields={"incident": incident, "alert": alert})
    _timeline(incident, approval, at)
    actions.acknowledge(incident, actor=factories.actor(resi, Channel.SLACK))
    actions.take_command(incident, actor=factories.actor(scene.admin))
    words = "The shift to us-1 made it worse:\np95 is at 740 ms there."
    actions.add_note(incident, words, actor=factories.actor(resi))
    incident.refresh_from_db()
    quiet, ended = _others(scene.project, scene.admin, at)
    unknown = runs.uncertain(scene)
    _failed(scene, at)
    runs.worker()
    return Evening(
        scene, scene.project, scene.admin, resi, scene.viewer, alert, approval, approval.run, unknown,
        incident, quiet, ended,
    )  # fmt: skip


def _alert(project: Project, at: datetime) -> Alert:
    source = factories.source(project, name="prometheus-eu")
    delivery = factories.delivery(source, BODY, verdict="processed", seen_count=212)
    started = at - timedelta(minutes=12)
    routed = "Opened INC-42: nothing is open for checkout in eu-1"
    return factories.alert(
        project,
        source,
        title="HighErrorRate",
        description="8.4 % of the requests to checkout in eu-1 fail (limit 2 %).",
        labels={
            "alertname": "HighErrorRate",
            "service": "checkout",
            "region": "eu-1",
            "severity": "critical",
        },
        annotations={"summary": "<script>alert(1)</script> 8.4 % of requests fail"},
        links=[
            {"name": "generator", "url": "https://prometheus.example/graph?g0.expr=errors"},
            {"name": "evil", "url": "javascript:alert(1)"},
        ],
        value="0.084",
        service=factories.service(project),
        environment=factories.environment(project),
        seen_count=212,
        first_delivery=delivery,
        last_delivery=delivery,
        at=started,
        decisions=[
            {"at": started.isoformat(), "by": "routing", "text": routed},
            {
                "at": started.isoformat(),
                "by": "triggers",
                "text": "Started high-error-rate v1: error-rate matched",
            },
        ],
    )


def _incident(project: Project, alert: Alert, at: datetime) -> Incident:
    incident = factories.incident(
        project,
        number=42,
        title="High error rate on checkout in eu-1",
        severity="SEV1",
        service=alert.service,
        environment=alert.environment,
        started_at=at - timedelta(minutes=12, seconds=40),
        detected_at=at - timedelta(minutes=12),
    )
    why = "Opened INC-42: nothing is open for checkout in eu-1"
    IncidentAlert.objects.create(incident=incident, alert=alert, joined_at=incident.detected_at, reason=why)
    return incident


def _timeline(incident: Incident, approval: Approval, at: datetime) -> None:
    alert, run = approval.run.alert, approval.run
    for seconds, kind, text, subject in (
        (720, "incident.opened", "INC-42 opened as SEV1: HighErrorRate from prometheus-eu", incident),
        (720, "alert.fired", "HighErrorRate (critical) fires, says prometheus-eu", alert),
        (701, "run.started", "Contain a high error rate (v1) started by trigger error-rate", run),
        (690, "step.succeeded", "Collect evidence: succeeded", run),
        (688, "step.succeeded", "Take the region out of the load balancer: succeeded", run),
        (
            430,
            "step.timed_out",
            "Has the error rate recovered? - not within 4 min: 3.1 % > 2 %, sample 24",
            run,
        ),
        (420, "step.compensated", "Take the region out of the load balancer: undone", run),
        (
            419,
            "approval.asked",
            "May the database fail over? - people are asked until 10:21:00 UTC",
            approval,
        ),
    ):
        moment = at - timedelta(seconds=seconds)
        timeline.add(incident, kind, text, actor=ROBOT, at=moment, subject=subject)
    record(ROBOT, "run.started", run, data={"version": "v1", "trigger": "error-rate"})
    record(ROBOT, "approval.asked", approval, data={"digest": approval.digest, "quorum": 2})


def _others(project: Project, ada: User, at: datetime) -> tuple[Incident, Incident]:
    quiet = factories.incident(
        project, number=41, title="Disk filling on db-7", severity="SEV3",
        started_at=at - timedelta(hours=2), detected_at=at - timedelta(minutes=9),
    )  # fmt: skip
    ended = factories.incident(
        project, number=40, title="Certificate of api.example.com expires in 6 days", severity="SEV4",
        started_at=at - timedelta(hours=27), detected_at=at - timedelta(hours=27), commander=ada,
    )  # fmt: skip
    actor = factories.actor(ada)
    actions.mitigate(ended, actor=actor, reason="renewed by hand")
    actions.resolve(ended, actor=actor, reason="the renewal job runs again")
    ended.refresh_from_db()
    return quiet, ended


def _failed(scene: Scene, at: datetime) -> None:
    began = at - timedelta(hours=3)
    failed = runs.run(
        scene, state=Run.State.FAILED, is_open=False, starter_name="Resi Vogt", trigger="", created_at=began,
        started_at=began, ended_at=began + timedelta(seconds=42), error={"code": "timeout", "message": "no answer"},
    )  # fmt: skip
    runs.step(failed, "shift", "failed", lasted=40, error={"code": "timeout", "message": "no answer"})
