"""Secrets of the installation in a runbook: refused where it is published, where it is looked at, where it runs."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from handrail.accounts.models import Project
from handrail.cli import check
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid
from handrail.vault.actions import set_secret
from runbooks import versions
from runbooks.models import StepRun
from runbooks.queries.readiness import readiness_of
from tests import factories
from tests.runbooks.execution.stage import Stage, document, scripted

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = "- {id: a, uses: test.call, with: {token: '${{ secrets.dns }}'}}"
DNS = "env:HANDRAIL_SECRET_DNS"
SECRETS = f"secrets: {{dns: '{DNS}', own: 'local:own'}}"


def test_what_may_not_be_read_is_not_published_and_the_place_and_the_remedy_are_told(
    stage: Stage, settings: Settings
) -> None:
    with scripted():
        with pytest.raises(Invalid) as refused:
            stage.publish(STEPS, rest=SECRETS)
        (problem,) = refused.value.details["problems"]
        assert (problem["line"], problem["path"]) == (4, "secrets.dns")
        remedy = f"adding {stage.project.slug}={DNS} to HANDRAIL_VAULT_GRANTS"
        assert remedy in problem["message"]
        settings.VAULT_GRANTS = [f"{stage.project.slug}={DNS}"]
        assert stage.publish(STEPS, "another", SECRETS).live is not None


def test_the_editor_and_the_page_before_publishing_say_it_too(
    project: Project, client: Client, settings: Settings
) -> None:
    ann = factories.person("ann", {project: "admin"})
    source = document("- {id: a, uses: noop}", "a-runbook", SECRETS)
    versions.create(project, source, actor=factories.actor(ann))
    client.force_login(ann)
    for address in ("edit", "publish"):
        assert "HANDRAIL_VAULT_GRANTS" in client.get(f"/runbooks/shop/a-runbook/{address}/").content.decode()
    typed = client.post("/runbooks/shop/a-runbook/validate/", {"source": source}).json()
    assert [problem["path"] for problem in typed["problems"]] == ["secrets.dns"]
    settings.VAULT_GRANTS = [f"shop={DNS}"]
    assert "HANDRAIL_VAULT_GRANTS" not in client.get("/runbooks/shop/a-runbook/publish/").content.decode()


def test_a_grant_that_was_taken_back_is_seen_before_a_run_and_refused_by_the_worker(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_SECRET_DNS", "a-s3cr3t-token")
    settings.VAULT_GRANTS = [f"{stage.project.slug}={DNS}"]
    with scripted() as made:
        runbook = stage.publish(STEPS, rest=SECRETS)
        secrets = {check.title: check for check in readiness_of(runbook)}["Secrets: dns, own"]
        assert secrets.missing.startswith("The project shop has no secret local:own.")
        set_secret(stage.project, "own", "something", actor=stage.actor)
        settings.VAULT_GRANTS = []
        secrets = {check.title: check for check in readiness_of(runbook)}["Secrets: dns, own"]
        assert secrets.missing.startswith(f"The project shop may not read {DNS}.")
        run = stage.start(runbook)
        stage.drive(run)
        step = StepRun.objects.get(run=run)
        assert (step.state, step.error["code"]) == ("failed", "secret_refused")
        assert "HANDRAIL_VAULT_GRANTS" in step.error["message"]
        assert made.calls == []


def test_the_command_names_what_is_refused_in_live_runbooks_connections_and_sources(
    stage: Stage, admin: Actor, settings: Settings
) -> None:
    project = stage.project
    settings.VAULT_GRANTS = [f"{project.slug}={DNS}", f"nobody={DNS}"]
    with scripted():
        stage.publish(STEPS, rest=SECRETS)
        factories.connection(project, "dns", authentication="bearer", secret_reference="file:elsewhere/dns")
        factories.source(project, name="am", secret_reference=DNS)
        found = list(check._secrets())
        assert [(each.level, each.found.split(" may not")[0]) for each in found] == [
            ("warning", "HANDRAIL_VAULT_GRANTS names the project nobody, which does not exist"),
            ("error", "connection dns: The project shop"),
        ]
        settings.VAULT_GRANTS = []
        found = list(check._secrets())
        assert [each.found.partition(":")[0] for each in found] == [
            "connection dns",
            "source am",
            "runbook a-runbook, secrets.dns",
        ]
        assert all("HANDRAIL_VAULT_GRANTS" in each.mend for each in found)
