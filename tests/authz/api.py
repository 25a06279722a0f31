"""What each route below ``/api/`` needs to be asked."""

from __future__ import annotations

import uuid
from typing import Any

from handrail.accounts.models import ApiToken, User
from handrail.accounts.secrets import digest_of
from handrail.catalog.models import Connection
from handrail.incidents.models import Incident, Postmortem, PostmortemSection
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.vault.actions import set_secret
from runbooks import versions
from runbooks.models import Runbook
from tests import factories
from tests.authz import runbook_builders
from tests.authz.world import World

Parameters = dict[str, Any]

INTO = uuid.UUID("0190a0a0-0000-7000-8000-00000000000a")
"""The incident that another one is merged into."""


def _project(world: World, asker: User | None, own: bool) -> Parameters:
    return {"project": world.project.slug}


def _secret(world: World, asker: User | None, own: bool) -> Parameters:
    set_secret(world.project, "db/password", "a long enough secret", actor=factories.CONSOLE)
    return {"project": world.project.slug, "name": "db/password"}


def _team(world: World, asker: User | None, own: bool) -> Parameters:
    _somebody(world, asker, own)
    return {"team_id": factories.team(world.project).pk}


def _member(world: World, asker: User | None, own: bool) -> Parameters:
    person = factories.person()
    return {"team_id": factories.team(world.project, person).pk, "username": person.username}


def _somebody(world: World, asker: User | None, own: bool) -> Parameters:
    if not User.objects.filter(username="somebody").exists():
        factories.person("somebody")
    return {}


def _role(world: World, asker: User | None, own: bool) -> Parameters:
    person = factories.person(roles={world.project: "viewer"})
    return {"role_id": person.roles.get().pk}


def _token(world: World, asker: User | None, own: bool) -> Parameters:
    holder = asker if own and asker is not None else factories.person()
    row = ApiToken.objects.create(user=holder, name="test", digest=digest_of(factories.unique("token")))
    return {"token_id": row.pk}


def _connection(world: World, asker: User | None, own: bool) -> Parameters:
    row = Connection.objects.create(
        project=world.project, name=factories.unique("metrics"), base_url="https://metrics.example"
    )
    return {"connection_id": row.pk}


def _robot(world: World, asker: User | None, own: bool) -> Parameters:
    if not User.objects.filter(username="robot-of-own").exists():
        factories.service_account(world.project, "responder", username="robot-of-own")
    return {}


def _source(world: World, asker: User | None, own: bool) -> Parameters:
    return {"source_id": factories.source(world.project).pk}


def _disabled_source(world: World, asker: User | None, own: bool) -> Parameters:
    return {"source_id": factories.source(world.project, enabled=False).pk}


def _rotated_source(world: World, asker: User | None, own: bool) -> Parameters:
    return {"source_id": factories.source(world.project, previous_key_digest="0" * 64).pk}


def _letter(world: World, asker: User | None, own: bool) -> Parameters:
    return {"letter_id": factories.dead_letter(world.project).pk}


def _dead_letter(world: World, asker: User | None, own: bool) -> Parameters:
    return {"delivery_id": factories.delivery(factories.source(world.project), verdict="dead").pk}


def _alert(world: World, asker: User | None, own: bool) -> Parameters:
    return {"alert_id": factories.alert(world.project).pk}


def _incident(world: World, asker: User | None, own: bool) -> Parameters:
    if not Incident.objects.filter(pk=INTO).exists():
        factories.incident(world.project, pk=INTO)
    return {"incident_id": factories.incident(world.project).pk}


def _resolved(world: World, asker: User | None, own: bool) -> Parameters:
    at = now()
    return {
        "incident_id": factories.incident(world.project, status="resolved", is_open=False, resolved_at=at).pk
    }


def _postmortem(world: World, asker: User | None, own: bool) -> Parameters:
    where = _resolved(world, asker, own)
    row = Postmortem.objects.create(generated_at=now(), **where)
    PostmortemSection.objects.create(
        postmortem=row, key="summary", position=1, title="Summary", generator_version="1", edited="Words."
    )
    return where


def _section(world: World, asker: User | None, own: bool) -> Parameters:
    return {**_postmortem(world, asker, own), "key": "summary"}


def _made(world: World) -> tuple[Runbook, Actor]:
    """A published runbook and its author."""
    author = factories.actor(factories.person(roles={world.project: "admin"}))
    slug = factories.unique("restart")
    made = versions.create(world.project, factories.RUNBOOK.replace("restart-checkout", slug), actor=author)
    versions.publish(made, actor=author, message="")
    made.refresh_from_db()
    return made, author


def _runbook(world: World, asker: User | None, own: bool) -> Parameters:
    return {"runbook_id": _made(world)[0].pk}


def _version(world: World, asker: User | None, own: bool) -> Parameters:
    return {**_runbook(world, asker, own), "number": 1}


def _draft(world: World, asker: User | None, own: bool) -> Parameters:
    made, author = _made(world)
    assert made.live is not None
    versions.save_draft(
        made, made.live.source.replace("Look", "Look twice"), actor=author, expected_revision=0
    )
    return {"runbook_id": made.pk}


def _two_versions(world: World, asker: User | None, own: bool) -> Parameters:
    where = _draft(world, asker, own)
    author = factories.actor(factories.person(roles={world.project: "admin"}))
    versions.publish(Runbook.objects.get(pk=where["runbook_id"]), actor=author, message="")
    return where


def _anything(world: World, asker: User | None, own: bool) -> Parameters:
    return {"rest": "nothing/"}


_ON_OPEN = (
    "acknowledge", "investigate", "identify", "mitigate", "resolve", "cancel", "take_command", "merge", "severity",
    "auto_resolve",
)  # fmt: skip


def _one_step(world: World, asker: User | None, own: bool) -> Parameters:
    """A run, and the name of its step that has not been claimed."""
    return {**runbook_builders.BUILDERS["run"](world, asker, own), "step": "look"}


BUILDERS = {
    "api_project": _project,
    "api_secrets": _project,
    "api_secret": _secret,
    "api_members": _team,
    "api_member": _member,
    "api_roles": _somebody,
    "api_role": _role,
    "api_token": _token,
    "api_connection": _connection,
    "api_sources": _robot,
    "api_source": _source,
    "api_source_rotate_key": _source,
    "api_source_disable": _source,
    "api_source_enable": _disabled_source,
    "api_source_end_overlap": _rotated_source,
    "api_delivery_retry": _dead_letter,
    "api_dead_letter": _letter,
    "api_dead_letter_assign": _letter,
    "dead_letter": _letter,
    "api_alert": _alert,
    "api_incident": _incident,
    "api_timeline": _incident,
    "api_notes": _incident,
    **{f"api_incident_{verb}": _incident for verb in _ON_OPEN},
    "api_incident_close": _resolved,
    "api_incident_reopen": _resolved,
    "api_postmortem": _postmortem,
    "api_postmortem_markdown": _postmortem,
    "api_postmortem_section": _section,
    "api_runbook": _runbook,
    "api_versions": _runbook,
    "api_version": _version,
    "api_draft": _draft,
    "api_publish": _draft,
    "api_roll_back": _two_versions,
    "api_start": _runbook,
    "api_run": runbook_builders.BUILDERS["run"],
    "api_artifacts": runbook_builders.BUILDERS["run"],
    "api_artifact": runbook_builders.BUILDERS["run_file"],
    **dict.fromkeys(
        (
            "api_run_stop",
            "api_run_pause",
            "api_run_resume",
            "api_run_restart",
            "api_run_checklist",
            "api_run_decisions",
        ),
        runbook_builders.BUILDERS["run_stop"],
    ),
    "api_step_skip": _one_step,
    "api_run_steps": runbook_builders.BUILDERS["run"],
    "api_step_log": runbook_builders.BUILDERS["run_step"],
    "api_step_answer": runbook_builders.BUILDERS["run_step_answer"],
    "api_step_decide": runbook_builders.BUILDERS["run_step"],
    "api_circuit": runbook_builders.BUILDERS["circuit"],
    "api_circuit_close": runbook_builders.BUILDERS["circuit"],
    "api_circuit_keep_open": runbook_builders.BUILDERS["circuit"],
    "api_approval": runbook_builders.BUILDERS["approval"],
    "api_approval_decide": runbook_builders.BUILDERS["approval_decide"],
    "api_no_address": _anything,
}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("api_projects", "POST"): {"slug": "new", "name": "New"},
    ("api_secret", "PUT"): {"value": "another long secret"},
    ("api_teams", "POST"): {"project": "own", "slug": "new", "name": "New"},
    ("api_members", "POST"): {"username": "somebody"},
    ("api_roles", "POST"): {"project": "own", "role": "viewer", "user": "somebody"},
    ("api_service_accounts", "POST"): {"project": "own", "username": "new-robot"},
    ("api_tokens", "POST"): {"name": "script", "scopes": ["view"]},
    ("api_services", "POST"): {"project": "own", "slug": "new", "name": "New"},
    ("api_environments", "POST"): {"project": "own", "slug": "new", "name": "New"},
    ("api_connections", "POST"): {"project": "own", "name": "new", "base_url": "https://metrics.example"},
    ("api_connection", "PATCH"): {"description": "The metrics."},
    ("api_sources", "POST"): {
        "project": "own", "kind": "alertmanager", "name": "New", "run_as": "robot-of-own",
    },
    ("api_source", "PATCH"): {"secret_reference": "local:token"},
    ("api_dead_letters_retry", "POST"): {"ids": [str(INTO)]},
    ("api_dead_letters_discard", "POST"): {"ids": [str(INTO)], "reason": "A drill."},
    ("api_dead_letter_assign", "POST"): {"owner": ""},
    ("api_incidents", "POST"): {"project": "own", "title": "It burns"},
    ("api_notes", "POST"): {"text": "Looks like the network."},
    ("api_incident_merge", "POST"): {"into": str(INTO)},
    ("api_incident_severity", "POST"): {"severity": "SEV1"},
    ("api_incident_auto_resolve", "POST"): {"mode": "never"},
    ("api_incident_cancel", "POST"): {"reason": "A drill."},
    ("api_postmortem", "PATCH"): {"status": "in_review"},
    ("api_postmortem_section", "PATCH"): {"text": "It was the network."},
    ("api_runbooks", "POST"): {"project": "own", "source": factories.RUNBOOK},
    ("api_runbook_validate", "POST"): {"source": factories.RUNBOOK},
    ("api_draft", "PUT"): {"source": factories.RUNBOOK},
    ("api_publish", "POST"): {"message": "Looks again."},
    ("api_roll_back", "POST"): {"number": 1, "reason": "To go back."},
    ("api_start", "POST"): {"inputs": {}},
    ("api_run_stop", "POST"): {"reason": "To stop."},
    ("api_run_pause", "POST"): {"reason": "To wait."},
    ("api_run_resume", "POST"): {"reason": "Mended."},
    ("api_run_restart", "POST"): {"reason": "Newer."},
    ("api_run_checklist", "POST"): {"items": ["look"], "choice": "done"},
    ("api_run_decisions", "POST"): {"steps": [str(INTO)], "choice": "done", "reason": "I looked."},
    ("api_step_skip", "POST"): {"reason": "Not today."},
    ("api_step_answer", "POST"): {"choice": "done"},
    ("api_step_decide", "POST"): {"choice": "done", "reason": "I looked."},
    ("api_approval_decide", "POST"): {"decision": "approve"},
    ("api_circuit_close", "POST"): {"reason": "It is well."},
    ("api_circuit_keep_open", "POST"): {"reason": "We are on it."},
}  # fmt: skip

HEADERS: dict[tuple[str, str], dict[str, str]] = {
    ("api_postmortem_section", "PATCH"): {"If-Match": '"1"'},
    ("api_postmortem_section", "DELETE"): {"If-Match": '"1"'},
    ("api_draft", "PUT"): {"If-Match": '"2"'},
    ("api_publish", "POST"): {"If-Match": '"2"'},
}
"""What these need beside the token."""
