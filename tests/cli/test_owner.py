"""An installation without `handrail up` gets its owner from the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from django.test import Client

from handrail.accounts.models import User
from handrail.cli.owner import owner


@pytest.mark.django_db
def test_the_link_opens_the_page_on_which_the_owner_chooses_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("handrail.cli.owner.set_up_django", lambda: None)
    done = CliRunner().invoke(owner, catch_exceptions=False)
    assert done.exit_code == 0
    path = done.output.strip().partition("/link/")[2]
    page = Client().get(f"/link/{path}")
    assert "You are the owner of this installation" in page.content.decode()
    assert User.objects.filter(is_owner=True).count() == 1
    CliRunner().invoke(owner, catch_exceptions=False)
    assert User.objects.filter(is_owner=True).count() == 1, "a second link is for the same person"
