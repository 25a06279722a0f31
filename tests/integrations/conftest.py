"""What the tests of integrations' actions share: a worker's context, and how outcomes are told apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from handrail.accounts.models import Project
from runbooks.steps.base import ActionContext
from tests.runbooks.steps.conftest import MakeContext, heard, make_context

__all__ = ["context", "heard", "make_context"]


@pytest.fixture
def context(project: Project, make_context: MakeContext) -> ActionContext:
    return make_context(project)


SECRET = "env:HANDRAIL_SECRET_TARGET"
GiveSecret = Callable[[str], None]


@pytest.fixture
def give_secret(project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> GiveSecret:
    """What :data:`SECRET` leads to, for the project."""
    settings.VAULT_GRANTS = [f"{project.slug}={SECRET}"]
    return lambda value: monkeypatch.setenv("HANDRAIL_SECRET_TARGET", value)
