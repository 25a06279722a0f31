"""Operators set secrets and pools from the command line; no value is ever an argument."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from handrail.accounts.models import Project
from handrail.catalog.models import RunnerPool
from handrail.cli.pool import pool
from handrail.cli.secret import secret
from handrail.shared.actors import Actor
from handrail.shared.errors import Forbidden, NotFound
from handrail.vault.references import resolve

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _django_is_set_up_already(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("secret", "pool"):
        monkeypatch.setattr(f"handrail.cli.{module}.set_up_django", lambda: None)


def test_a_secret_is_read_from_standard_input_and_deleted(project: Project, admin: Actor) -> None:
    arguments = [project.slug, "token", "--as", admin.name]
    done = CliRunner().invoke(secret, ["set", *arguments], input="s3cr3t-token\n", catch_exceptions=False)
    assert done.output == f"local:token of {project.slug} is set.\n"
    assert resolve("local:token", project) == "s3cr3t-token"
    assert "1 secrets" in CliRunner().invoke(secret, ["rotate"], catch_exceptions=False).output
    assert CliRunner().invoke(secret, ["delete", *arguments], catch_exceptions=False).exit_code == 0


def test_the_users_own_roles_decide(project: Project, viewer: Actor) -> None:
    arguments = ["set", project.slug, "token", "--as", viewer.name]
    with pytest.raises(Forbidden):
        CliRunner().invoke(secret, arguments, input="s3cr3t-token", catch_exceptions=False)
    with pytest.raises(NotFound, match="no project"):
        CliRunner().invoke(secret, ["set", "none", "x", "--as", "x"], input="x", catch_exceptions=False)


def test_a_pool_is_added_without_shell_until_it_is_allowed(db: None) -> None:
    CliRunner().invoke(pool, ["add", "containment"], catch_exceptions=False)
    assert not RunnerPool.objects.get(name="containment").allow_shell
    CliRunner().invoke(pool, ["shell", "containment", "yes"], catch_exceptions=False)
    assert RunnerPool.objects.get(name="containment").allow_shell
    with pytest.raises(NotFound, match="pool add other"):
        CliRunner().invoke(pool, ["shell", "other", "no"], catch_exceptions=False)
