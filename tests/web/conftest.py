"""A scene, and browsers of the people in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from handrail.accounts.models import User
from tests.web import scene as scenes
from tests.web.scene import Scene


@pytest.fixture
def scene(db: None) -> Scene:
    """A project with people and a published runbook."""
    return scenes.scene()


@pytest.fixture
def browse() -> Callable[[User], Client]:
    """A signed-in client of a person."""

    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return signed_in
