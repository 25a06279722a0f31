"""What a call says of itself goes through the redactor before anybody keeps it."""

from __future__ import annotations

import pytest
from pytest_django import Settings
from structlog.testing import capture_logs

from runbooks.models import RunEvent, StepRun
from runbooks.steps.base import ActionContext, Outcome
from tests.runbooks.execution.stage import Stage, scripted

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = "- {id: a, uses: test.call, with: {token: '${{ secrets.dns }}'}}"
SECRET = "a-s3cr3t-token"


LONG = "duration-" + "x" * 280 + SECRET


def test_an_expression_that_does_not_like_a_secret_does_not_quote_it(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_SECRET_DNS", LONG)
    settings.VAULT_GRANTS = [f"{stage.project.slug}=env:HANDRAIL_SECRET_DNS"]
    told = "secrets.dns.startsWith('<') ? 'shown' : string(duration(secrets.dns))"
    with scripted() as made:
        steps = f'- {{id: a, uses: test.call, with: {{token: "${{{{ {told} }}}}"}}}}'
        run = stage.start(stage.publish(steps, rest="secrets: {dns: 'env:HANDRAIL_SECRET_DNS'}"))
        stage.drive(run)
        assert made.calls == []
    error = StepRun.objects.get(run=run).error
    assert error["message"].startswith("steps[0].with.token: the value of a secret does not fit here")
    assert "xxxx" not in str(error)


def raises(context: ActionContext) -> Outcome:
    raise RuntimeError(f"the other side did not like {context.secrets['dns']}")


def test_what_an_action_raises_is_told_without_its_secrets(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAULT_GRANTS = [f"{stage.project.slug}=env:HANDRAIL_SECRET_DNS"]
    monkeypatch.setenv("HANDRAIL_SECRET_DNS", SECRET)
    with scripted(a=[raises]), capture_logs() as logged:
        run = stage.start(stage.publish(STEPS, rest="secrets: {dns: 'env:HANDRAIL_SECRET_DNS'}"))
        stage.drive(run)
    raised = [entry for entry in logged if entry["event"] == "action_raised"]
    assert "RuntimeError: the other side did not like [redacted]" in str(raised[0]["exc_info"])
    kept = (
        str(logged),
        str(raised[0]["exc_info"]),
        str(list(StepRun.objects.values())),
        str(list(RunEvent.objects.values())),
    )
    assert not any(SECRET in text for text in kept)
