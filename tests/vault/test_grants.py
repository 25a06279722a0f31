"""What the installation keeps, a project reads only where whoever runs the installation allowed it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from handrail.accounts.models import Project
from handrail.alerts.actions import create_source, update_source
from handrail.catalog.actions import create_connection
from handrail.config.environment import SETTINGS, BadSettingError, read
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid
from handrail.vault.grants import ENV_PREFIX, refusal
from handrail.vault.references import SecretRefused, resolve
from tests import factories

DNS = "env:HANDRAIL_SECRET_DNS"


@pytest.mark.parametrize(
    ("granted", "reference", "may"),
    [
        ([], DNS, False),
        (["shop=env:HANDRAIL_SECRET_DNS"], DNS, True),
        (["shop=env:HANDRAIL_SECRET_DNS"], "env:HANDRAIL_SECRET_DNS_2", False),
        (["shop=env:HANDRAIL_SECRET_DNS*"], "env:HANDRAIL_SECRET_DNS_2", True),
        (["shop = env:HANDRAIL_SECRET_*"], DNS, True),
        (["elsewhere=env:HANDRAIL_SECRET_DNS", "sho=env:HANDRAIL_SECRET_*"], DNS, False),
        (["shop=file:*", "shop=env:HANDRAIL_DATABASE_URL"], "env:HANDRAIL_DATABASE_URL", False),
        (["shop=env:*"], "env:DATABASE_URL", False),
        (["shop=env:HANDRAIL_SECRET_*"], "file:dns", False),
        (["shop=file:shop/*"], "file:shop/dns/token", True),
        (["shop=file:shop/*"], "file:elsewhere/dns", False),
        (["shop=file:shop/*"], "file:shop/../elsewhere/dns", False),
        (["shop=file:shop/*"], "file:shop//dns", False),
        (["shop=file:*"], "file:/etc/passwd", False),
        ([], "local:dns", True),
        (["shop=vault:*"], "vault:payments/dns#token", False),
    ],
)
def test_a_project_reads_what_it_was_granted_and_nothing_else(
    settings: Settings, granted: list[str], reference: str, may: bool
) -> None:
    settings.VAULT_GRANTS = granted
    assert (refusal(reference, "shop") == "") is may


def test_no_setting_of_handrail_could_be_read_as_a_secret() -> None:
    assert not [setting.name for setting in SETTINGS if setting.name.startswith(ENV_PREFIX)]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("payments=env:HANDRAIL_SECRET_DNS_*, shop=file:shop/*,Shop_2=file:*", True),
        ("payments=env:DATABASE_URL", False),
        ("payments=env:HANDRAIL_*", False),
        ("env:HANDRAIL_SECRET_DNS", False),
        ("*=env:HANDRAIL_SECRET_DNS", False),
        ("payments=local:dns", False),
    ],
)
def test_the_setting_is_checked(monkeypatch: pytest.MonkeyPatch, value: str, fits: bool) -> None:
    monkeypatch.setenv("HANDRAIL_VAULT_GRANTS", value)
    if fits:
        assert read("HANDRAIL_VAULT_GRANTS") == value
    else:
        with pytest.raises(BadSettingError, match="HANDRAIL_VAULT_GRANTS"):
            read("HANDRAIL_VAULT_GRANTS")


def test_what_is_not_granted_is_not_read_and_the_words_say_what_to_do(
    project: Project,
    other_project: Project,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HANDRAIL_SECRET_DNS", "s3cr3t-token")
    (tmp_path / "dns").write_text("s3cr3t-token")
    settings.VAULT_FILES = str(tmp_path)
    settings.VAULT_GRANTS = [f"shop={DNS}", "shop=file:dns"]
    assert resolve(DNS, project) == resolve("file:dns", project) == "s3cr3t-token"
    with pytest.raises(
        SecretRefused, match="adding elsewhere=env:HANDRAIL_SECRET_DNS to HANDRAIL_VAULT_GRANTS"
    ):
        resolve(DNS, other_project)
    with pytest.raises(SecretRefused, match="adding elsewhere=file:dns to HANDRAIL_VAULT_GRANTS"):
        resolve("file:dns", other_project)


def test_no_connection_and_no_source_is_given_what_its_project_may_not_read(
    project: Project, admin: Actor, settings: Settings
) -> None:
    robot = factories.service_account(project, "responder")
    with pytest.raises(Invalid) as refused:
        create_connection(
            project,
            "dns",
            actor=admin,
            base_url="https://dns.example.com",
            authentication="bearer",
            secret_reference=DNS,
        )
    assert "HANDRAIL_VAULT_GRANTS" in str(refused.value.details)
    with pytest.raises(Invalid, match="HANDRAIL_VAULT_GRANTS"):
        create_source(project, "alertmanager", "am", run_as=robot, actor=admin, secret_reference=DNS)
    source = create_source(project, "alertmanager", "am", run_as=robot, actor=admin).source
    with pytest.raises(Invalid, match="HANDRAIL_VAULT_GRANTS"):
        update_source(source, actor=admin, secret_reference=DNS)
    settings.VAULT_GRANTS = [f"shop={DNS}"]
    assert update_source(source, actor=admin, secret_reference=DNS).secret_reference == DNS
