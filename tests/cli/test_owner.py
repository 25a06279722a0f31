"""An installation without `handrail up` gets its owner from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from django.test import Client
from pytest_django import Settings

from handrail.accounts.models import User
from handrail.cli.owner import owner

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _set_up(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr("handrail.cli.owner.set_up_django", lambda: None)
    settings.BASE_URL = "http://127.0.0.1:8000"  # put back after the test: the command sets it


def test_the_link_is_at_the_address_that_the_running_installation_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    (tmp_path / "address").write_text("http://127.0.0.1:9123\n")
    done = CliRunner().invoke(owner, catch_exceptions=False)
    assert done.output.startswith("http://127.0.0.1:9123/link/")


def test_the_link_opens_the_page_on_which_the_owner_chooses_a_password() -> None:
    done = CliRunner().invoke(owner, catch_exceptions=False)
    assert done.exit_code == 0
    path = done.output.strip().partition("/link/")[2]
    page = Client().get(f"/link/{path}")
    assert "You are the owner of this installation" in page.content.decode()
    assert User.objects.filter(is_owner=True).count() == 1
    CliRunner().invoke(owner, catch_exceptions=False)
    assert User.objects.filter(is_owner=True).count() == 1, "a second link is for the same person"
