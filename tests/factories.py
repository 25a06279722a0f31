"""Rows for tests, each complete and related as the product would have made it.

Every function takes what the test is about and invents the rest; names never collide. People and roles go
through the product's own expansion, so that permissions are real.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from handrail.accounts import permissions
from handrail.accounts.actions import add_member, create_team, create_token
from handrail.accounts.actors import CONSOLE, actor_of_user
from handrail.accounts.models import LinkedIdentity, Project, RoleAssignment, Team, User
from handrail.accounts.secrets import digest_of
from handrail.alerts.models import Alert, Delivery, Source
from handrail.audit.chain import GENESIS, link, run_event
from handrail.catalog.models import Connection, Environment, Service
from handrail.incidents.models import Incident, IncidentAlert, TimelineEvent
from handrail.letters.models import DeadLetter
from handrail.shared.actors import Actor, Channel
from handrail.shared.artifacts import put
from handrail.shared.clock import now
from handrail.shared.ids import new_id
from runbooks.models import Approval, Artifact, Circuit, Run, Runbook, RunbookVersion, RunEvent, StepRun

PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)

RUNBOOK = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: restart-checkout, title: Restart checkout}
steps:
  - {id: look, title: Look, uses: noop}
"""


def unique(word: str) -> str:
    """The word with a number that no other row has."""
    return f"{word}-{next(_numbers)}"


# --- people ----------------------------------------------------------------------------------


def project(slug: str = "", **fields: Any) -> Project:
    slug = slug or unique("project")
    return Project.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)


def person(username: str = "", roles: Mapping[Project, str] | None = None, **fields: Any) -> User:
    """A person with ``PASSWORD`` and one role on each given project."""
    user = User.objects.create_user(username or unique("person"), password=PASSWORD)
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()
    for where, role in (roles or {}).items():
        give_role(where, user, role)
    return user


def owner(username: str = "olive") -> User:
    return person(username, is_owner=True)


def auditor(username: str = "audrey") -> User:
    return person(username, is_auditor=True)


def service_account(home: Project, *roles: str, username: str = "") -> User:
    account = User.objects.create_user(username or unique("robot"), kind=User.Kind.SERVICE, project=home)
    for role in roles:
        give_role(home, account, role)
    return account


def give_role(where: Project, holder: User | Team, role: str) -> None:
    if isinstance(holder, Team):
        RoleAssignment.objects.create(project=where, team=holder, role=role)
    else:
        RoleAssignment.objects.create(project=where, user=holder, role=role)
    permissions.synchronise(where, holder)


def team(where: Project, *members: User, slug: str = "", role: str = "") -> Team:
    slug = slug or unique("team")
    made = create_team(where, slug, slug.title(), actor=CONSOLE)
    for member in members:
        add_member(made, member, actor=CONSOLE)
    if role:
        give_role(where, made, role)
    return made


def actor(user: User, channel: Channel = Channel.WEB) -> Actor:
    return actor_of_user(user, channel)


def token(user: User, *scopes: str, lasts: timedelta = timedelta(days=1)) -> str:
    """A working token of the account, as it would stand in the header."""
    scopes = scopes or tuple(permissions.Permission)
    made = create_token(user, "test", scopes=scopes, actor=actor(user), lasts=lasts)
    return made.plain


def linked(user: User, external_id: str = "U1", workspace: str = "T1") -> LinkedIdentity:
    return LinkedIdentity.objects.create(
        user=user, provider="slack", workspace=workspace, external_id=external_id
    )


# --- production and alerts -------------------------------------------------------------------


def service(where: Project, slug: str = "checkout") -> Service:
    return Service.objects.get_or_create(project=where, slug=slug, defaults={"name": slug.title()})[0]


def environment(where: Project, slug: str = "eu-1") -> Environment:
    return Environment.objects.get_or_create(project=where, slug=slug, defaults={"name": slug})[0]


def connection(where: Project, name: str = "", **fields: Any) -> Connection:
    fields.setdefault("base_url", "http://127.0.0.1:9")
    return Connection.objects.create(project=where, name=name or unique("connection"), **fields)


def circuit(where: Project, key: str = "", **fields: Any) -> Circuit:
    """An open circuit."""
    at = now()
    values = {
        "state": "open",
        "opened_at": at,
        "try_at": at,
        "reason": key,
        "created_at": at,
        "updated_at": at,
    }
    return Circuit.objects.create(project=where, key=key or unique("circuit"), **{**values, **fields})


def source(where: Project, key: str = "", **fields: Any) -> Source:
    """A source whose key is ``key``; its runs act as a responder of the project."""
    return Source.objects.create(
        project=where,
        kind=fields.pop("kind", "alertmanager"),
        name=fields.pop("name", unique("source")),
        key_digest=digest_of(key or unique("key")),
        run_as=fields.pop("run_as", None) or service_account(where, "responder"),
        **fields,
    )


def delivery(of: Source, body: bytes = b"{}", **fields: Any) -> Delivery:
    at = now()
    return Delivery.objects.create(
        source=of,
        received_at=at,
        last_seen_at=at,
        body=body,
        body_sha256=digest_of(body.decode("latin-1")),
        trust=fields.pop("trust", "key"),
        **fields,
    )


def dead_letter(where: Project | None, **fields: Any) -> DeadLetter:
    """A letter about a row that is not there, unless ``ref`` names one."""
    defaults: dict[str, Any] = {
        "kind": DeadLetter.Kind.DELIVERY,
        "ref": new_id(),
        "what": "What a source sent",
        "why": "It is no JSON.",
        "died_at": now(),
    }
    return DeadLetter.objects.create(project=where, **{**defaults, **fields})


def alert(where: Project, of: Source | None = None, **fields: Any) -> Alert:
    at = fields.pop("at", None) or now()
    defaults: dict[str, Any] = {
        "fingerprint": unique("fingerprint"),
        "status": "firing",
        "severity": "critical",
        "title": "High error rate on checkout",
        "labels": {"service": "checkout"},
        "started_at": at,
        "first_seen_at": at,
        "last_seen_at": at,
        "last_event_at": at,
    }
    return Alert.objects.create(project=where, source=of or source(where), **{**defaults, **fields})


# --- incidents -------------------------------------------------------------------------------


def incident(where: Project, *alerts: Alert, **fields: Any) -> Incident:
    at = fields.pop("at", None) or now()
    defaults: dict[str, Any] = {
        "number": next(_numbers),
        "title": "High error rate on checkout",
        "severity": "SEV2",
        "started_at": at,
        "detected_at": at,
    }
    made = Incident.objects.create(project=where, **{**defaults, **fields})
    for joined in alerts:
        IncidentAlert.objects.create(incident=made, alert=joined, joined_at=at, reason="opened it")
    return made


def timeline_event(of: Incident, text: str = "Something happened", **fields: Any) -> TimelineEvent:
    of.timeline_n += 1
    of.save(update_fields=["timeline_n"])
    defaults: dict[str, Any] = {
        "kind": "note",
        "at": now(),
        "actor_kind": "system",
        "actor_name": "test",
        "channel": "automation",
    }
    return TimelineEvent.objects.create(incident=of, n=of.timeline_n, text=text, **{**defaults, **fields})


# --- runbooks and runs -----------------------------------------------------------------------


def runbook(where: Project, slug: str = "", *, text: str = RUNBOOK, published: bool = True) -> Runbook:
    """A runbook with one version: published and live, or a draft."""
    slug = slug or unique("runbook")
    made = Runbook.objects.create(project=where, slug=slug, title=slug.replace("-", " ").title())
    version = RunbookVersion.objects.create(
        runbook=made,
        source=text,
        number=1 if published else None,
        state=RunbookVersion.State.PUBLISHED if published else RunbookVersion.State.DRAFT,
        digest=digest_of(text),
        published_at=now() if published else None,
    )
    if published:
        made.live = version
        made.save(update_fields=["live"])
    return made


def run(of: Runbook, **fields: Any) -> Run:
    version = of.live
    assert version is not None, "only a published runbook runs"
    defaults: dict[str, Any] = {
        "version": version,
        "version_digest": version.digest,
        "state": Run.State.RUNNING,
        "starter_name": "test",
        "starter_channel": "web",
        "created_at": now(),
        "started_at": now(),
    }
    return Run.objects.create(project=of.project, runbook=of, **{**defaults, **fields})


def run_events(of: Run, *kinds: str, at: datetime | None = None) -> list[RunEvent]:
    """Events at the end of the run's history, chained as the engine chains them."""
    made = []
    for kind in kinds:
        n, when = of.history_n + 1, at or now()
        previous = of.history_hash or GENESIS
        digest = link(previous, run_event(of.pk, n, kind, {}, when))
        made.append(
            RunEvent.objects.create(
                run=of, n=n, type=kind, data={}, at=when, previous_hash=previous, hash=digest
            )
        )
        of.history_n, of.history_hash = n, digest
    of.save(update_fields=["history_n", "history_hash"])
    return made


def step(of: Run, node: str = "look", **fields: Any) -> StepRun:
    defaults: dict[str, Any] = {
        "kind": "action",
        "action": "noop",
        "title": node.title(),
        "state": StepRun.State.READY,
        "created_at": now(),
    }
    return StepRun.objects.create(run=of, node=node, **{**defaults, **fields})


def artifact(of: StepRun, content: bytes = b"a line\n", **fields: Any) -> Artifact:
    """A file of a step, with its bytes."""
    defaults: dict[str, Any] = {
        "attempt": 1, "name": "log-of-attempt-1.txt", "media_type": "text/plain", "created_at": now(),
    }  # fmt: skip
    return Artifact.objects.create(
        run=of.run, step=of, sha256=put(content), size=len(content), **{**defaults, **fields}
    )


def approval(of: Run, **fields: Any) -> Approval:
    """A pending approval of one step of the run."""
    asked = fields.pop("step", None) or step(
        of, unique("ask"), kind="approval", state=StepRun.State.AWAITING_APPROVAL
    )
    defaults: dict[str, Any] = {
        "prompt": "Fail over the checkout database?",
        "digest": digest_of("plan"),
        "plan": [],
        "policy": {},
        "created_at": now(),
        "expires_at": now() + timedelta(minutes=15),
    }
    return Approval.objects.create(project=of.project, run=of, step=asked, **{**defaults, **fields})
