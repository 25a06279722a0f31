"""Fills an installation so that every page has something to show; prints route -> path as JSON.

Run as a process of its own, in the environment of the installation. A new page is given its path here.
"""

from __future__ import annotations

import json
import sys


def seed() -> dict[str, str]:
    """Route name -> path, for ada, who owns the installation and administers the project."""
    from django.core.management import call_command

    from handrail.accounts.actions import make_identity_link
    from handrail.incidents import postmortems
    from handrail.shared.clock import now
    from runbooks import switches, versions
    from runbooks.models import RefusedStart, StepRun
    from tests import factories
    from tests.browser.seed import WALK
    from tests.web import evening as evenings
    from tests.web import scene as scenes

    call_command("migrate", interactive=False, verbosity=0)
    scene = scenes.scene()
    scenes.second_version(scene)
    ada = scene.admin
    ada.is_owner = True
    ada.save(update_fields=["is_owner"])
    actor = factories.actor(ada)
    factories.token(ada, "view", "respond")
    factories.linked(ada, "U0ADA")
    versions.create(scene.project, WALK.replace("walk", "stroll", 1), actor=actor)
    night = evenings.evening(scene)
    postmortems.generate(night.ended, actor)
    runbook, incident, ended = (
        "/runbooks/shop/high-error-rate/",
        f"/incidents/{night.incident.pk}/",
        night.ended,
    )
    letter = factories.dead_letter(scene.project, kind="step")
    step = StepRun.objects.filter(run=night.run, kind="action").first() or night.unknown
    operator = factories.actor(factories.person(roles={night.run.project: "operator"}))
    for subject in ("ssh.run", "kubernetes.drain"):
        place = switches.Place("action", night.run.project, None, subject)
        switch = switches.turn_on(place, actor=operator, reason="The bastion is being moved.")
    switches.turn_off(switch.pk, actor=operator, reason="It has moved.")
    RefusedStart.objects.create(
        project=night.run.project, runbook=night.run.runbook, code="loop_guard", first_at=now(), last_at=now(),
        reason="It was started 10 times within an hour.",
    )  # fmt: skip
    return {
        "now": "/",
        "incidents": "/incidents/",
        "incident_new": "/incidents/new/",
        "incident": incident,
        "postmortem": f"/incidents/{ended.pk}/postmortem/",
        "postmortem_section": f"/incidents/{ended.pk}/postmortem/sections/summary/",
        "alert": f"/alerts/{night.alert.pk}/",
        "runbooks": "/runbooks/",
        "runbook": runbook,
        "runbook_new": "/runbooks/new/",
        "runbook_edit": f"{runbook}edit/",
        "runbook_version": f"{runbook}versions/1/",
        "runbook_publish": "/runbooks/shop/stroll/publish/",
        "runs": "/runs/",
        "run": f"/runs/{night.run.pk}/",
        "run_step": f"/runs/{step.run_id}/steps/{step.pk}/",
        "switches": "/switches/",
        "circuits": "/circuits/",
        "dead_letters": "/dead-letters/",
        "dead_letter": f"/dead-letters/{letter.pk}/",
        "workers": "/workers/",
        "approvals": "/approvals/",
        "approval": f"/approvals/{night.approval.pk}/",
        "audit": "/audit/",
        "jump": "/jump?q=error",
        "account": "/account/",
        "one_time_link": "/" + make_identity_link("slack", "T1", "U0NEW").url.split("/", 3)[3],
        "sign_in": "/sign-in/",
        "api_docs": "/api/docs/",
    }


if __name__ == "__main__":
    import django

    django.setup()
    json.dump(seed(), sys.stdout)
