"""Who calls remote commands, and where they are kept from looking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from pytest_django.live_server_helper import LiveServer

from handrail.accounts.models import Project
from handrail.cli.remote import credentials, following
from tests import factories


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing of whoever runs the tests; and what an earlier test has sent does not count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (credentials.URL_VARIABLE, credentials.TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(following, "PAUSE", 0.0)
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def as_role(
    elsewhere: None, live_server: LiveServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Signed in as somebody who may do everything in the project."""
    person = factories.person("ada", {project: "admin"})
    monkeypatch.setenv("HANDRAIL_URL", live_server.url)
    monkeypatch.setenv("HANDRAIL_TOKEN", factories.token(person))
    return person.username
