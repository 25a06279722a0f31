"""Fixtures of the executing engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handrail.accounts.models import Project
from handrail.shared import clock
from runbooks.versions import _definition
from tests import factories
from tests.runbooks.execution.stage import HEARTS, Scripted, Stage, scripted


@pytest.fixture(autouse=True)
def _hearts_stop() -> Iterator[None]:
    yield
    while HEARTS:
        HEARTS.pop().stop()


@pytest.fixture
def stage(project: Project) -> Stage:
    user = factories.person(roles={project: "admin"})
    return Stage(project, factories.actor(user))


@pytest.fixture
def calls() -> Iterator[type[Scripted]]:
    """``test.call`` is known; its script is empty."""
    with scripted() as action:
        yield action
    _definition.cache_clear()


@pytest.fixture
def patient_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late answers of the database tell the time, too: what is done at once must not depend on the machine's load."""
    monkeypatch.setattr(clock, "TOLD_QUICKLY", 600.0)
    monkeypatch.setattr(clock, "TOLD_LATELY", 600.0)
