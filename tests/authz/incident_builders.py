"""What the pages of incidents and alerts are asked about."""

from __future__ import annotations

from typing import Any

from handrail.accounts.models import User
from handrail.incidents import actions, postmortems
from handrail.incidents.models import PostmortemSection
from tests import factories
from tests.authz.world import World

Parameters = dict[str, Any]


def _incident(world: World, asker: User | None, own: bool) -> Parameters:
    """An open incident that nobody has acknowledged."""
    return {"incident_id": factories.incident(world.project).pk}


def _verb(world: World, asker: User | None, own: bool) -> Parameters:
    """Mitigating stands for all verbs: they ask for the same permission in the same function."""
    return {**_incident(world, asker, own), "verb": "mitigate"}


def _alert(world: World, asker: User | None, own: bool) -> Parameters:
    return {"alert_id": factories.alert(world.project).pk}


def _postmortem(world: World, asker: User | None, own: bool) -> Parameters:
    """A draft of an incident that is over."""
    actor = factories.actor(factories.person(roles={world.project: "admin"}))
    found = factories.incident(world.project)
    actions.resolve(found, actor=actor)
    postmortems.generate(found, actor)
    return {"incident_id": found.pk}


def _section(world: World, asker: User | None, own: bool) -> Parameters:
    return {**_postmortem(world, asker, own), "key": "summary"}


def _edited(world: World, asker: User | None, own: bool) -> Parameters:
    """A section that somebody has edited: revision 2."""
    parameters = _section(world, asker, own)
    actor = factories.actor(factories.person(roles={world.project: "admin"}))
    row = PostmortemSection.objects.get(postmortem__incident=parameters["incident_id"], key="summary")
    postmortems.edit_section(row, "It was the cache.", actor, expected_revision=row.revision)
    return parameters


BUILDERS = {
    "incident": _incident,
    "incident_live": _incident,
    "incident_verb": _verb,
    "alert": _alert,
    "postmortem": _postmortem,
    "postmortem_markdown": _postmortem,
    "postmortem_generate": _postmortem,
    "postmortem_status": _postmortem,
    "postmortem_section": _section,
    "postmortem_discard": _edited,
}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("incident_verb", "POST"): {"reason": "it is well again"},
    ("postmortem_status", "POST"): {"status": "in_review"},
    ("postmortem_section", "POST"): {"text": "It was the cache.", "revision": 1},
    ("postmortem_discard", "POST"): {"revision": 2},
    ("incident_new", "POST"): {"title": "Checkout is slow", "severity": "SEV2"},
}
