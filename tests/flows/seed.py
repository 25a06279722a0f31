"""Fills an installation under test: the sample project, more people, and runbooks with short timers.

Run as a process of its own, in the environment of the installation; prints what a test needs to know as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

PASSWORD = "correct horse battery staple"
RUNBOOKS = Path(__file__).parent / "runbooks"
WEB_APPROVERS = ("noor", "omar", "pia", "quin")
"""People of dba-oncall with a password and a token, who are not in Slack."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """``hook``: the path of the alertmanager source. ``tokens``: a token of each person that has one."""

    hook: str
    generic_hook: str
    tokens: dict[str, str]


def seed(production_url: str) -> Seeded:
    """The sample project through its own seeding, then what only tests need."""
    from django.core.management import call_command

    from handrail.accounts.models import Project
    from handrail.demo import sample

    call_command("migrate", interactive=False, verbosity=0)
    for _ in sample.seed(production_url):
        pass
    project = Project.objects.get(slug=sample.PROJECT)
    tokens = _people(project)
    _runbooks(project)
    return Seeded(_hook(), _generic(project), tokens)


def _hook() -> str:
    from urllib.parse import urlsplit

    from django.conf import settings

    return urlsplit((Path(settings.HOME) / "sample-source-url").read_text().strip()).path


def _generic(project: object) -> str:
    from urllib.parse import urlsplit

    from handrail.accounts.actors import CONSOLE
    from handrail.accounts.models import Project, User
    from handrail.alerts.actions import create_source

    assert isinstance(project, Project)
    account = User.objects.get(username="alert-intake")
    return urlsplit(create_source(project, "generic", "generic", run_as=account, actor=CONSOLE).url).path


def _people(project: object) -> dict[str, str]:
    from handrail.accounts.actions import add_member, assign_role, create_token, create_user
    from handrail.accounts.actors import CONSOLE, actor_of_user
    from handrail.accounts.models import Project, Team, User
    from handrail.shared.actors import Channel

    assert isinstance(project, Project)
    dba = Team.objects.get(project=project, slug="dba-oncall")
    for name in WEB_APPROVERS:
        add_member(dba, create_user(name, password=PASSWORD, actor=CONSOLE), actor=CONSOLE)
    writer = User.objects.get(username="max")
    add_member(dba, writer, actor=CONSOLE)
    assign_role(project, writer, "author", actor=CONSOLE)
    tokens = {}
    for name in (*WEB_APPROVERS, "lin", "ada"):
        user = User.objects.get(username=name)
        actor = actor_of_user(user, Channel.WEB)
        tokens[name] = create_token(user, "flows", scopes=["view", "approve", "respond"], actor=actor).plain
    return tokens


def _runbooks(project: object) -> None:
    """Written by max, who may therefore not approve them."""
    from handrail.accounts.actors import CONSOLE, actor_of_user
    from handrail.accounts.models import Project, User
    from handrail.shared.actors import Channel
    from runbooks import versions

    assert isinstance(project, Project)
    writer = actor_of_user(User.objects.get(username="max"), Channel.WEB)
    for path in sorted(RUNBOOKS.glob("*.yaml")):
        runbook = versions.create(project, path.read_text(), actor=writer)
        versions.publish(runbook, actor=CONSOLE, message="first")


if __name__ == "__main__":
    from handrail.cli import set_up_django

    set_up_django()
    sys.stdout.write(json.dumps(asdict(seed(sys.argv[1]))))
