"""Scripts with tokens: one that may only look, one that may do everything in its project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from handrail.accounts.models import Project
from tests import factories


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    """What an earlier test has sent does not count."""
    cache.clear()
    yield
    cache.clear()


def script(project: Project, role: str) -> Client:
    """A client with a token of a person who has the role."""
    person = factories.person(roles={project: role})
    return Client(headers={"Authorization": f"Bearer {factories.token(person)}"})


@pytest.fixture
def client(project: Project) -> Client:
    """A service account that may only look."""
    account = factories.service_account(project, "viewer")
    return Client(headers={"Authorization": f"Bearer {factories.token(account, 'view')}"})


@pytest.fixture
def admin(project: Project) -> Client:
    """A person who may do everything in the project."""
    return script(project, "admin")
