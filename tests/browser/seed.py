"""Fills an installation for the browsers: people with passwords, runbooks, runs in every situation.

Run as a process of its own, in the environment of the installation; prints the addresses of the pages as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

WALK = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: walk, title: Walk through the park}
inputs:
  pace: {type: enum, values: [slow, quick], required: true, description: How fast.}
steps:
  - {id: first, title: Take the first step, uses: noop}
  - {id: pause, title: Stand for a moment, kind: wait, for: 1s}
  - {id: ask, title: Is the path clear?, kind: approval, prompt: May it cross the road?, timeout: 15m}
  - {id: last, title: Cross the road, uses: noop}
"""
"""Really runs: two steps, a timer and a question."""

ROUND = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: round, title: Go the round}
steps:
  - id: each
    title: Look at each gate
    kind: for_each
    items: '["north", "south", "an entrance with a name that is much longer than anybody would think of"]'
    concurrency: 3
    steps:
      - id: look
        title: Look at the gate
        kind: manual
        prompt: "Look at ${{ item }} and note what you see."
        inputs: {seen: {type: string, required: true, description: In a few words.}}
        timeout: 12h
"""
"""Waits for people, for each of its items."""


def seed() -> dict[str, str]:
    """Page -> path. Signed in as ada (admin), lin and noor (approvers), vera (viewer)."""
    from django.core.management import call_command

    from runbooks import runs, versions
    from tests import factories
    from tests.web import scene as scenes

    call_command("migrate", interactive=False, verbosity=0)
    scene = scenes.scene()
    scenes.second_version(scene)
    actor = factories.actor(scene.admin)
    walk = versions.create(scene.project, WALK, actor=actor)
    versions.publish(walk, actor=actor, message="")
    versions.create(scene.project, WALK.replace("walk", "stroll", 1), actor=actor)
    going = versions.create(scene.project, ROUND, actor=actor)
    versions.publish(going, actor=actor, message="")
    going.refresh_from_db()
    rounds = runs.start(going, inputs={}, actor=actor).run
    incident = scenes.incident(scene)
    asked = scenes.asking(scene, run_fields={"incident": incident})
    denied = scenes.asking(scene, state="rejected", decided_by="Lin Chen", reason="Too risky")
    uncertain = scenes.uncertain(scene)
    failed = _failed(scenes.run(scene, state="failed", is_open=False, error=ERROR), scenes)
    runbook = "/runbooks/shop/high-error-rate/"
    return {
        "runbooks": "/runbooks/",
        "runbook": runbook,
        "version": f"{runbook}versions/1/",
        "publish": "/runbooks/shop/stroll/publish/",
        "edit": f"{runbook}edit/",
        "new": "/runbooks/new/",
        "runs": "/runs/",
        "asking": f"/runs/{asked.run_id}/",
        "uncertain": f"/runs/{uncertain.run_id}/",
        "round": f"/runs/{rounds.pk}/?step=each",
        "gate": f"/runs/{rounds.pk}/?step=look%5B2%5D",
        "failed": f"/runs/{failed}/",
        "approvals": "/approvals/",
        "all approvals": "/approvals/?show=all",
        "approval": f"/approvals/{asked.pk}/",
        "denied": f"/approvals/{denied.pk}/",
    }


ERROR = {"code": "connection_refused", "message": "Nothing answers at https://lb.internal"}


def _failed(run: Any, scenes: Any) -> str:
    shift = scenes.step(run, "shift", "failed", error=ERROR, attempt=4)
    scenes.log(shift, "PUT https://lb.internal/weights", "connection refused")
    scenes.step(run, "approve_failover", "skipped", reason='steps.contain.status is "failed"')
    return str(run.pk)


if __name__ == "__main__":
    import django

    django.setup()
    json.dump(seed(), sys.stdout)
