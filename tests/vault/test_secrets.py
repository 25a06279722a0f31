"""References lead to values only where they may, and local secrets are kept encrypted, audited and rotated."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.errors import Forbidden, HandrailError, Invalid, NotFound
from handrail.vault import actions
from handrail.vault.models import Secret
from handrail.vault.references import SecretNotFound, resolvable, resolve

pytestmark = pytest.mark.django_db


def test_a_local_secret_is_stored_encrypted_and_resolved(project: Project, admin: Actor) -> None:
    secret = actions.set_secret(project, "traffic/token", "s3cr3t-token", actor=admin)
    assert b"s3cr3t" not in bytes(Secret.objects.get(pk=secret.pk).ciphertext)
    assert resolve("local:traffic/token", project) == "s3cr3t-token"


def test_the_audit_trail_names_the_secret_and_never_its_value(project: Project, admin: Actor) -> None:
    actions.set_secret(project, "token", "s3cr3t-token", actor=admin)
    actions.set_secret(project, "token", "other-token", actor=admin)
    actions.delete_secret(project, "token", actor=admin)
    entries = AuditEntry.objects.filter(object_type="secret").order_by("n")
    assert [entry.action for entry in entries] == ["secret.created", "secret.replaced", "secret.deleted"]
    assert "token" in entries[0].object_name
    assert "s3cr3t" not in repr(list(AuditEntry.objects.values()))


def test_only_operators_set_secrets(project: Project, responder: Actor) -> None:
    with pytest.raises(Forbidden):
        actions.set_secret(project, "token", "s3cr3t-token", actor=responder)


@pytest.mark.parametrize(("name", "value"), [("UPPER", "long enough"), ("", "long enough"), ("x", "abc")])
def test_a_secret_that_could_not_be_kept_is_refused(
    project: Project, admin: Actor, name: str, value: str
) -> None:
    with pytest.raises(Invalid):
        actions.set_secret(project, name, value, actor=admin)


def test_another_projects_secret_does_not_exist(
    project: Project, other_project: Project, admin: Actor
) -> None:
    actions.set_secret(project, "token", "s3cr3t-token", actor=admin)
    with pytest.raises(SecretNotFound):
        resolve("local:token", other_project)
    with pytest.raises(NotFound):
        actions.delete_secret(other_project, "token", actor=admin)


def test_keys_are_rotated_and_the_old_one_can_go(project: Project, admin: Actor, settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.VAULT_KEYS = [old]
    actions.set_secret(project, "token", "s3cr3t-token", actor=admin)
    settings.VAULT_KEYS = [new, old]
    assert actions.rotate_keys(actor=CONSOLE) == 1
    settings.VAULT_KEYS = [new]
    assert resolve("local:token", project) == "s3cr3t-token"
    settings.VAULT_KEYS = [old]
    with pytest.raises(SecretNotFound, match="none of the keys"):
        resolve("local:token", project)


def test_without_keys_one_is_made_for_its_owner_only(
    project: Project, admin: Actor, settings: Settings, tmp_path: Path
) -> None:
    settings.VAULT_KEYS, settings.HOME = [], tmp_path / "home"
    actions.set_secret(project, "token", "s3cr3t-token", actor=admin)
    made = tmp_path / "home" / "vault.keys"
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in made.parent.iterdir()] == ["vault.keys"]
    assert resolve("local:token", project) == "s3cr3t-token"


def test_environment_variables_need_the_prefix(
    project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAULT_GRANTS = ["shop=env:HANDRAIL_SECRET_*", "shop=env:DATABASE_PASSWORD"]
    monkeypatch.setenv("HANDRAIL_SECRET_DNS", "s3cr3t-token")
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cr3t-token")
    assert resolve("env:HANDRAIL_SECRET_DNS", project) == "s3cr3t-token"
    for reference in ("env:DATABASE_PASSWORD", "env:HANDRAIL_SECRET_NONE", "env:", "vault:x", "", "x"):
        with pytest.raises(SecretNotFound):
            resolve(reference, project)


def test_files_are_read_below_the_folder_only(project: Project, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    (folder / "dns").mkdir(parents=True)
    (folder / "dns" / "token").write_text("s3cr3t-token\n")
    (tmp_path / "outside").write_text("not for you")
    (folder / "link").symlink_to(tmp_path / "outside")
    settings.VAULT_FILES, settings.VAULT_GRANTS = str(folder), ["shop=file:*"]
    assert resolve("file:dns/token", project) == "s3cr3t-token"
    for name in ("../outside", "dns/../dns/token", "link", str(tmp_path / "outside"), "none", "dns", "a\0b"):
        with pytest.raises(SecretNotFound):
            resolve(f"file:{name}", project)


def test_files_need_a_folder(project: Project, settings: Settings) -> None:
    settings.VAULT_FILES, settings.VAULT_GRANTS = "", ["shop=file:*"]
    with pytest.raises(SecretNotFound, match="HANDRAIL_VAULT_FILES"):
        resolve("file:etc/passwd", project)


@pytest.mark.parametrize("kept", ["in the setting", "in the file", "in no file"])
def test_keys_that_are_none_are_told_and_break_nothing(
    project: Project, admin: Actor, settings: Settings, tmp_path: Path, kept: str
) -> None:
    settings.VAULT_KEYS = [Fernet.generate_key().decode()]
    actions.set_secret(project, "token", "s3cr3t-token", actor=admin)
    settings.VAULT_KEYS, settings.HOME = (["junk"] if kept == "in the setting" else []), tmp_path
    if kept == "in the file":
        (tmp_path / "vault.keys").write_text("kläglich\n", "utf-8")
    elif kept == "in no file":
        (tmp_path / "vault.keys").mkdir()
    with pytest.raises(SecretNotFound, match=r"local:token cannot be decrypted: .*HANDRAIL_"):
        resolve("local:token", project)
    assert list(resolvable(["local:token"], project)) == []
    with pytest.raises(HandrailError, match="HANDRAIL_"):
        actions.set_secret(project, "token", "another-token", actor=admin)
