"""What each route needs to be asked: an object for its parameters, a body that it would accept.

Adding a page or an endpoint: add a builder here if the route has parameters, a body if it takes one, then
write the rows with ``HANDRAIL_TEST_WRITE_EXPECTATIONS=1 pytest tests/authz`` and review each cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handrail.accounts.actions import make_identity_link
from handrail.accounts.models import ApiToken, User
from handrail.accounts.secrets import digest_of
from tests import factories
from tests.authz import api, incident_builders, runbook_builders
from tests.authz.world import World

Parameters = dict[str, Any]
Builder = Callable[[World, User | None, bool], Parameters]
"""(world, who asks, whether the object is their own or their project's) -> the route's parameters."""


def _token(world: World, asker: User | None, own: bool) -> Parameters:
    holder = asker if own and asker is not None else factories.person()
    row = ApiToken.objects.create(user=holder, name="test", digest=digest_of(factories.unique("token")))
    return {"token_id": row.pk}


def _identity(world: World, asker: User | None, own: bool) -> Parameters:
    holder = asker if own and asker is not None else factories.person()
    return {"identity_id": factories.linked(holder, factories.unique("U")).pk}


def _identity_link(world: World, asker: User | None, own: bool) -> Parameters:
    return {"token": make_identity_link("slack", "T1", factories.unique("U")).url.split("/")[-2]}


def _source(world: World, asker: User | None, own: bool) -> Parameters:
    key = factories.unique("a-key-that-nobody-guesses")
    factories.source(world.project, key)
    return {"kind": "alertmanager", "key": key}


BUILDERS: dict[str, Builder] = {
    "account_token_revoke": _token,
    "account_identity_unlink": _identity,
    "alert_hook": _source,
    "one_time_link": _identity_link,
    **incident_builders.BUILDERS,
    **runbook_builders.BUILDERS,
    **api.BUILDERS,
}
"""Route name -> the object behind its parameters. A route without parameters needs none."""

ALERTMANAGER = {
    "version": "4",
    "status": "firing",
    "receiver": "handrail",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrorRate", "service": "checkout"},
            "annotations": {},
            "startsAt": "2026-11-22T17:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "0123456789abcdef",
        }
    ],
}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("alert_hook", "POST"): ALERTMANAGER,
    ("account_tokens", "POST"): {"name": "script", "scopes": ["view"], "days": 1},
    **incident_builders.BODIES,
    **runbook_builders.BODIES,
    ("account_password", "POST"): {"current": factories.PASSWORD, "new": "another long secret"},
    ("dead_letters_act", "POST"): {"act": "retry", "letter": str(api.INTO)},
    **api.BODIES,
}
"""(route name, method) -> form fields, or JSON for addresses below /api/ and /hooks/."""
