"""Two projects and one person for each role in each of them: whoever may ask for something."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.test import Client

from handrail.accounts.models import Project, User
from handrail.accounts.roles import ROLES
from tests import factories

INSTALLATION_ROLES = ("anonymous", "auditor", "owner")
COLUMNS = ("anonymous", *ROLES, "auditor", "owner", "token")
"""Who asks. ``token`` is a service account, responder in its project, with a token for view and respond."""


@dataclass
class Asker:
    """Somebody with a way to ask."""

    user: User | None
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class World:
    """``project`` owns the object that is asked for; ``other`` is a project of other people."""

    def __init__(self) -> None:
        self.built: dict[object, dict[str, object]] = {}
        """By its builder: what is built once for all."""
        self.project = factories.project("own")
        self.other = factories.project("other")
        self._askers = {
            (column, own): self._make(column, self.project if own else self.other)
            for column in COLUMNS
            for own in ((True,) if column in INSTALLATION_ROLES else (True, False))
        }

    def asker(self, column: str, *, own: bool) -> Asker:
        """Who has the column's role in the object's own project, or in another project only."""
        return self._askers[column, own or column in INSTALLATION_ROLES]

    def _make(self, column: str, project: Project) -> Asker:
        if column == "anonymous":
            return Asker(None)
        if column == "token":
            account = factories.service_account(project, "responder")
            plain = factories.token(account, "view", "respond")
            return Asker(account, headers={"Authorization": f"Bearer {plain}"})
        if column in INSTALLATION_ROLES:
            return self._signed_in(factories.owner() if column == "owner" else factories.auditor())
        return self._signed_in(factories.person(f"{column}-{project.slug}", {project: column}))

    def _signed_in(self, user: User) -> Asker:
        client = Client()
        client.force_login(user)
        return Asker(user, cookies={name: morsel.value for name, morsel in client.cookies.items()})
