"""A runbook with everything in it, and runs of it in every situation that a page shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from handrail.accounts.models import Project, Team, User
from handrail.incidents.models import Incident
from handrail.shared.clock import now
from runbooks import versions
from runbooks.models import Approval, LogLine, Run, Runbook, StepAttempt, StepRun, Vote, Worker
from tests import factories

SOURCE = """\
apiVersion: handrail/v1
kind: Runbook
metadata:
  id: high-error-rate
  title: Contain a high error rate
  description: >-
    Collect evidence, shift traffic away from the region, verify. If that did not help, undo the shift,
    ask the database people and fail the database over.
  owner: team:payments-sre
inputs:
  service: {type: string, pattern: "^[a-z0-9-]+$", required: true, description: The service to protect.}
  region: {type: enum, values: [eu-1, us-1], required: true, description: Where it fails.}
  max_error_rate: {type: number, default: 0.02, min: 0, max: 1, description: The share of failures that is well.}
triggers:
  - id: error-rate
    on: alert
    when: alert.severity == "critical" && alert.labels.alertname == "HighErrorRate"
    inputs: {service: "${{ alert.labels.service }}", region: "${{ alert.labels.region }}"}
    dedupe: {key: "${{ alert.labels.service }}", window: 30m, on_duplicate: attach}
timeout: 2h
steps:
  - id: evidence
    title: Collect evidence
    kind: parallel
    continue_on_error: true
    steps:
      - id: error_rate
        title: Read the error rate
        uses: prometheus.query
        with: {query: "service:error_ratio:5m{service='${{ inputs.service }}'}"}
      - id: deploys
        title: List the latest deploys
        uses: http.request
        with: {connection: deploys, path: /deploys, query: {service: "${{ inputs.service }}"}}
  - id: contain
    title: Shift traffic away
    kind: group
    on_failure: {compensate: true, then: continue}
    steps:
      - id: shift
        title: Take the region out of the load balancer
        uses: http.request
        effect: reversible
        idempotent: true
        with:
          connection: traffic
          method: PUT
          path: "/weights/${{ inputs.service }}/${{ inputs.region }}"
          json: {weight: 0}
        retry: {max_attempts: 4, initial_interval: 2s, backoff: 2.0, max_interval: 30s}
        compensate:
          uses: http.request
          with:
            connection: traffic
            method: PUT
            path: "/weights/${{ inputs.service }}/${{ inputs.region }}"
            json: {weight: 100}
      - id: recovered
        title: Has the error rate recovered?
        kind: wait_until
        uses: prometheus.query
        with: {query: "service:error_ratio:5m{service='${{ inputs.service }}'}"}
        until: result.value < inputs.max_error_rate
        sustained: 3m
        interval: 15s
        timeout: 10m
  - id: approve_failover
    title: May the database fail over?
    kind: approval
    when: steps.contain.status == "compensated"
    prompt: "Fail over the ${{ inputs.service }} database in ${{ inputs.region }}? Up to 30 s of writes may be lost."
    for: [db_failover]
    approvers: {teams: [dba-oncall], min: 2, exclude: [starter, last_editor]}
    timeout: 15m
    on_timeout: reject
    on_reject: continue
  - id: db_failover
    title: Fail the database over
    uses: http.request
    effect: irreversible
    when: steps.approve_failover.decision == "approved"
    with:
      connection: database
      method: POST
      path: /failover
      json: {formation: "${{ inputs.service }}", region: "${{ inputs.region }}"}
    timeout: 1m
outcome:
  recovered: steps.recovered.status == "succeeded"
finally:
  - id: report
    title: Say how it ended
    uses: noop
"""

INPUTS = {"service": "checkout", "region": "eu-1", "max_error_rate": 0.02}
PLAN = [
    {
        "step": "db_failover",
        "title": "Fail the database over",
        "action": "http.request",
        "effect": "irreversible",
        "inputs": {"connection": "database", "method": "POST", "path": "/failover"},
        "preview": 'POST https://db-admin.internal/failover {"formation": "checkout", "region": "eu-1"}',
        "target": "database",
    }
]


@dataclass
class Scene:
    """A project, its people and its published runbook."""

    project: Project
    admin: User
    dba: User
    other_dba: User
    viewer: User
    dbas: Team
    runbook: Runbook


def scene(project: Project | None = None) -> Scene:
    """``dba`` and ``other_dba`` are asked for approvals; ``viewer`` only looks."""
    where = project or factories.project("shop", name="Shop")
    admin = factories.person("ada", {where: "admin"}, name="Ada Lovelace")
    dba = factories.person("lin", {where: "approver"}, name="Lin Chen")
    other_dba = factories.person("noor", {where: "approver"}, name="Noor Haddad")
    viewer = factories.person("vera", {where: "viewer"}, name="Vera Ray")
    dbas = factories.team(where, dba, other_dba, slug="dba-oncall")
    actor = factories.actor(admin)
    runbook = versions.create(where, SOURCE, actor=actor)
    versions.publish(runbook, actor=actor, message="First version")
    runbook.refresh_from_db()
    return Scene(where, admin, dba, other_dba, viewer, dbas, runbook)


def second_version(of: Scene) -> None:
    """Version 2: more retries."""
    actor = factories.actor(of.admin)
    source = SOURCE.replace("max_attempts: 4", "max_attempts: 6")
    versions.save_draft(of.runbook, source, actor=actor, expected_revision=0)
    versions.publish(of.runbook, actor=actor, message="Try the shift six times")
    of.runbook.refresh_from_db()


def worker() -> Worker:
    """A worker that lives."""
    at = now()
    return Worker.objects.create(
        id="box:17:a1", host="box", pid=17, pools=["default"], started_at=at, heartbeat_at=at
    )


def run(of: Scene, **fields: Any) -> Run:
    """A run of the live version with its inputs, started two minutes ago."""
    began = now() - timedelta(minutes=4, seconds=10)
    defaults: dict[str, Any] = {
        "inputs": INPUTS,
        "starter_name": "alertmanager",
        "starter_channel": "automation",
        "trigger": "error-rate",
        "created_at": began,
        "started_at": began,
    }
    return factories.run(of.runbook, **{**defaults, **fields})


def step(of: Run, node: str, state: str, *, after: int = 0, lasted: int = 1, **fields: Any) -> StepRun:
    """A step ``after`` seconds into the run that took ``lasted`` seconds, with one attempt."""
    definition = versions.definition_of(of.version).step(node)
    began = of.created_at + timedelta(seconds=after)
    ended = began + timedelta(seconds=lasted) if state in _ENDED else None
    call = getattr(definition, "call", None)
    defaults: dict[str, Any] = {
        "kind": definition.kind,
        "action": call.uses if call is not None else "",
        "title": definition.title,
        "state": state,
        "attempt": 0 if state in ("waiting", "skipped") else 1,
        "effect": getattr(definition, "effect", "read"),
        "created_at": began,
        "started_at": None if state in ("skipped", "ready") else began,
        "ended_at": ended,
        "owner": "box:17:a1" if state in ("executing", "uncertain") else "",
    }
    made = StepRun.objects.create(run=of, node=node, **{**defaults, **fields})
    if made.attempt and call is not None:
        StepAttempt.objects.create(
            step=made,
            fence=made.attempt,
            number=made.attempt,
            worker="box:17:a1",
            started_at=began,
            ended_at=ended,
            outcome=state if ended else "",
            error=made.error,
        )
    return made


_ENDED = ("succeeded", "failed", "timed_out", "skipped", "cancelled", "compensated")


def log(of: StepRun, *lines: str) -> None:
    """What the step said."""
    start = LogLine.objects.filter(step=of).count()
    for n, text in enumerate(lines, start=start + 1):
        LogLine.objects.create(step=of, n=n, attempt=1, at=now(), stream="log", text=text)


def contained(of: Scene, **fields: Any) -> Run:
    """A run whose shift did not help and was undone: evidence, shift and its undoing are there."""
    made = run(of, **fields)
    step(made, "evidence", "succeeded", lasted=2)
    rate = step(
        made, "error_rate", "succeeded", outputs={"value": 0.084}, inputs={"query": "service:error_ratio:5m"}
    )
    log(rate, "GET http://prometheus:9090/api/v1/query", "200 in 34 ms, 1 sample: 0.084")
    step(made, "deploys", "succeeded", outputs={"status": 200, "json": {"deploys": []}})
    step(made, "contain", "compensated", after=3, lasted=190)
    shift = step(
        made,
        "shift",
        "compensated",
        after=3,
        inputs={
            "connection": "traffic",
            "method": "PUT",
            "path": "/weights/checkout/eu-1",
            "json": {"weight": 0},
        },
        outputs={"status": 200, "json": {"previous": 100}},
    )
    log(shift, "PUT https://lb.internal/weights/checkout/eu-1", "200 in 84 ms", "weight 100 -> 0")
    step(
        made,
        "recovered",
        "timed_out",
        after=5,
        lasted=185,
        error={"code": "step_timeout", "message": "Not met within 10 min: 3.1 % > 2 %, sample 12."},
        reason="3.1 % > 2 %",
    )
    StepRun.objects.create(
        run=made,
        node="shift",
        role="compensate",
        kind="action",
        action="http.request",
        title="Take the region out of the load balancer",
        state="succeeded",
        attempt=1,
        created_at=made.created_at + timedelta(seconds=191),
        started_at=made.created_at + timedelta(seconds=191),
        ended_at=made.created_at + timedelta(seconds=193),
    )
    return made


def asking(of: Scene, *, votes: int = 1, quorum: int = 2, **fields: Any) -> Approval:
    """A run that waits for the failover's approval; ``other_dba`` has approved already if ``votes`` is 1."""
    run_fields = fields.pop("run_fields", {})
    made = contained(of, state=Run.State.WAITING, **run_fields)
    asked = step(made, "approve_failover", "awaiting_approval", after=194)
    approval = factories.approval(
        made,
        step=asked,
        prompt="Fail over the checkout database in eu-1? Up to 30 s of writes may be lost.",
        digest="3f9c21aa7be04d115c0a9cb34f1e5d0e6f0d25b3a9c6b1f67d4a1b5b3c2d1e0f",
        plan=PLAN,
        policy={"teams": ["dba-oncall"], "users": [], "min_per_team": {}, "on_reject": "continue"},
        quorum=quorum,
        expires_at=fields.pop("expires_at", now() + timedelta(minutes=11, seconds=20)),
        **fields,
    )
    if votes:
        Vote.objects.create(
            approval=approval,
            user=of.other_dba,
            user_name=str(of.other_dba),
            teams=["dba-oncall"],
            decision="approve",
            channel="slack",
            at=now() - timedelta(minutes=1),
        )
    return approval


def uncertain(of: Scene) -> StepRun:
    """A step whose worker died in its middle."""
    made = contained(of, state=Run.State.WAITING)
    step(made, "approve_failover", "succeeded", after=194, lasted=20)
    return step(
        made,
        "db_failover",
        "uncertain",
        after=215,
        inputs={"connection": "database", "method": "POST", "path": "/failover"},
        error={"code": "worker_lost", "message": "The worker box:17:a1 died after the request was sent."},
    )


def incident(of: Scene) -> Incident:
    """An open incident that runs may belong to."""
    return factories.incident(of.project, number=42, severity="SEV1")
