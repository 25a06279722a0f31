"""Django's own commands about accounts, as Handrail has them: audited like everything else that opens a door."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.management.commands import changepassword
from django.core.management import CommandError, call_command

from handrail.accounts.models import User
from handrail.audit.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.django_db
STRONG = "correct horse battery staple"


def audited() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "actor_name"))


def test_an_owner_made_on_the_console_is_in_the_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", STRONG)
    call_command("createsuperuser", "--noinput", "--username", "ada", stdout=io.StringIO())
    ada = User.objects.get(username="ada")
    assert ada.is_owner
    assert ada.check_password(STRONG)
    assert audited() == [("user.created", "console"), ("owner.appointed", "console")]


def test_what_is_refused_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "ada")
    with pytest.raises(CommandError, match="too short"):
        call_command("createsuperuser", "--noinput", "--username", "ada", stdout=io.StringIO())
    assert not User.objects.exists()
    assert audited() == []


def test_a_password_set_on_the_console_is_in_the_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.person("ada")
    before = audited()
    monkeypatch.setattr(changepassword.getpass, "getpass", lambda prompt="": STRONG)
    call_command("changepassword", "ada", stdout=io.StringIO())
    assert User.objects.get(username="ada").check_password(STRONG)
    assert audited()[len(before) :] == [("password.changed", "console")]
    with pytest.raises(CommandError, match="does not exist"):
        call_command("changepassword", "nobody", stdout=io.StringIO())
    assert len(audited()) == len(before) + 1
