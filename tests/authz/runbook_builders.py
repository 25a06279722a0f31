"""What the pages of runbooks, runs and approvals are asked about."""

from __future__ import annotations

from typing import Any

from handrail.accounts.models import User
from handrail.shared.clock import now
from runbooks import runs, switches, versions
from runbooks.models import Approval, RefusedStart, Runbook, StepRun
from tests import factories
from tests.authz.world import World

Parameters = dict[str, Any]


ASKING = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: restart-checkout, title: Restart checkout}
steps:
  - {id: ask, title: Look, kind: approval, prompt: Restart it?, timeout: 15m}
"""


def _runbook(world: World, asker: User | None, own: bool, source: str = factories.RUNBOOK) -> Parameters:
    """A live runbook with a draft that differs."""
    author = factories.actor(factories.person(roles={world.project: "admin"}))
    slug = factories.unique("restart")
    text = source.replace("restart-checkout", slug)
    made = versions.create(world.project, text, actor=author)
    versions.publish(made, actor=author, message="")
    made.refresh_from_db()
    draft = text.replace("Look", "Look twice")
    versions.save_draft(made, draft, actor=author, expected_revision=versions.revision_of(made))
    return {"project": world.project.slug, "slug": slug}


def _version(world: World, asker: User | None, own: bool) -> Parameters:
    """Version 1 of a runbook whose version 2 is live."""
    author = factories.actor(factories.person(roles={world.project: "admin"}))
    parameters = _runbook(world, asker, own)
    made = Runbook.objects.get(project=world.project, slug=parameters["slug"])
    versions.publish(made, actor=author, message="")
    return {**parameters, "number": 1}


def _run(world: World, asker: User | None, own: bool, source: str = factories.RUNBOOK) -> Parameters:
    """A run that goes on."""
    parameters = _runbook(world, asker, own, source)
    made = Runbook.objects.get(project=world.project, slug=parameters["slug"])
    starter = factories.actor(factories.person(roles={world.project: "responder"}))
    return {"run_id": runs.start(made, inputs={}, actor=starter).run.pk}


def _step(world: World, asker: User | None, own: bool) -> Parameters:
    """A step of a run; its outcome is known, so that nothing is to decide."""
    parameters = _run(world, asker, own)
    return {**parameters, "step_id": StepRun.objects.get(run=parameters["run_id"]).pk}


def _file(world: World, asker: User | None, own: bool) -> Parameters:
    """A file of a step."""
    parameters = _run(world, asker, own)
    return {**parameters, "artifact_id": factories.artifact(StepRun.objects.get(run=parameters["run_id"])).pk}


def _value(world: World, asker: User | None, own: bool) -> Parameters:
    """The outputs of a step."""
    parameters = _step(world, asker, own)
    StepRun.objects.filter(pk=parameters["step_id"]).update(outputs={"said": "so"})
    return {**parameters, "name": "outputs"}


def _approval(world: World, asker: User | None, own: bool) -> Parameters:
    """A pending approval for anybody who may approve in the project."""
    parameters = _run(world, asker, own, ASKING)
    return {"approval_id": Approval.objects.get(run=parameters["run_id"]).pk}


def _circuit(world: World, asker: User | None, own: bool) -> Parameters:
    return {"circuit_id": factories.circuit(world.project).pk}


def _circuit_verb(world: World, asker: User | None, own: bool) -> Parameters:
    return {**_circuit(world, asker, own), "verb": "close"}


def _switch(world: World, asker: User | None, own: bool) -> Parameters:
    """A kill switch of the project that is on."""
    operator = factories.actor(factories.person(roles={world.project: "operator"}))
    place = switches.Place("target", world.project, None, factories.unique("db-7"))
    return {"switch_id": switches.turn_on(place, actor=operator, reason="it fails").pk}


def _refused(world: World, asker: User | None, own: bool) -> Parameters:
    """A start that was refused, and that nobody has seen yet."""
    parameters = _runbook(world, asker, own)
    made = Runbook.objects.get(project=world.project, slug=parameters["slug"])
    at = now()
    row = RefusedStart.objects.create(
        project=world.project, runbook=made, code="loop_guard", reason="again", first_at=at, last_at=at
    )
    return {"refused_id": row.pk}


BUILDERS = {
    "circuit": _circuit,
    "circuit_verb": _circuit_verb,
    "switch_off": _switch,
    "api_switch_off": _switch,
    "refused_start_seen": _refused,
    "api_refused_start_seen": _refused,
    "run_file": _file,
    "run_step_value": _value,
    "run": _run,
    "run_live": _run,
    **dict.fromkeys(
        ("run_stop", "run_pause", "run_resume", "run_restart", "run_skip", "run_checklist", "run_decisions"),
        _run,
    ),
    "run_step": _step,
    "run_step_answer": _step,
    "run_step_decide": _step,
    "approval": _approval,
    "approval_decide": _approval,
    "runbook_start": _runbook,
    "runbook": _runbook,
    "runbook_edit": _runbook,
    "runbook_validate": _runbook,
    "runbook_discard": _runbook,
    "runbook_publish": _runbook,
    "runbook_version": _version,
    "runbook_roll_back": _version,
}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("switches", "POST"): {"level": "action", "subject": "ssh.run", "reason": "it fails"},
    ("switch_off", "POST"): {"reason": "mended"},
    ("api_switches", "POST"): {
        "level": "action",
        "project": "own",
        "subject": "ssh.run",
        "reason": "it fails",
    },
    ("api_switch_off", "POST"): {"reason": "mended"},
    ("runbook_new", "POST"): {"source": factories.RUNBOOK, "do": "save"},
    ("runbook_new_validate", "POST"): {"source": factories.RUNBOOK},
    ("runbook_validate", "POST"): {"source": factories.RUNBOOK},
    ("runbook_edit", "POST"): {"source": factories.RUNBOOK, "revision": 2, "do": "save"},
    ("runbook_publish", "POST"): {"message": "Look twice", "revision": 2},
    ("runbook_start", "POST"): {},
    ("run_stop", "POST"): {"reason": "enough"},
    ("run_pause", "POST"): {"reason": "wait"},
    ("run_resume", "POST"): {"reason": "mended"},
    ("run_restart", "POST"): {"reason": "newer", "version": "1"},
    ("run_skip", "POST"): {"step": "look", "reason": "not today"},
    ("run_checklist", "POST"): {"items": ["look"], "choice": "done"},
    ("run_decisions", "POST"): {"choice": "done", "reason": "seen it"},
    ("run_step_answer", "POST"): {"choice": "done"},
    ("run_step_decide", "POST"): {"choice": "done", "reason": "seen it"},
    ("approval_decide", "POST"): {"decision": "approve"},
    ("circuit_verb", "POST"): {"reason": "It is well."},
    ("runbook_roll_back", "POST"): {"reason": "it was better"},
}
