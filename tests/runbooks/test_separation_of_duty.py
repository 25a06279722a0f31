"""Who edited what runs does not approve it, where the runbook says so."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from handrail.accounts.models import Project
from handrail.audit.actions import record
from handrail.shared.actors import Channel
from handrail.shared.errors import Forbidden
from runbooks import runs, versions
from runbooks.models import Approval, RunbookVersion
from tests import factories
from tests.runbooks.execution.stage import document
from tests.runbooks.test_approvals import approver, decide

pytestmark = pytest.mark.django_db


def test_the_last_editor_is_excluded_where_the_policy_says_so(project: Project) -> None:
    editor = factories.actor(factories.person("editor", {project: "admin"}))
    starter = factories.actor(factories.person("starter", {project: "responder"}))

    def asked(exclude: str) -> Approval:
        slug = factories.unique("restart")
        steps = (
            f"- {{id: ask, kind: approval, prompt: Do it?, timeout: 5m, approvers: {{exclude: {exclude}}}}}"
        )
        made = versions.create(project, document(steps, slug), actor=editor)
        versions.publish(made, actor=editor, message="")
        made.refresh_from_db()
        return Approval.objects.get(run=runs.start(made, inputs={}, actor=starter).run)

    with pytest.raises(Forbidden, match="or edited what it runs"):
        decide(asked("[starter, last_editor]"), editor)
    assert decide(asked("[starter]"), editor) == "Approved. It runs now."


def test_everyone_who_saved_the_draft_is_its_editor_and_those_of_earlier_versions_are_not(
    project: Project,
) -> None:
    first, second, third, starter = (
        factories.actor(factories.person(name, {project: "admin"}))
        for name in ("first", "second", "third", "starter")
    )
    text = "- {{id: ask, kind: approval, prompt: {}, timeout: 5m, approvers: {{exclude: [last_editor]}}}}"
    made = versions.create(project, document(text.format("One?")), actor=first)
    versions.publish(made, actor=starter, message="")
    for prompt, editor in (("Two?", second), ("Three?", third), ("Four?", third)):
        made.refresh_from_db()
        versions.save_draft(
            made,
            document(text.format(prompt)),
            actor=editor,
            expected_revision=versions.revision_of(made),
        )
    versions.publish(made, actor=starter, message="")
    made.refresh_from_db()
    approval = Approval.objects.get(run=runs.start(made, inputs={}, actor=starter).run)
    for editor in (second, third):
        with pytest.raises(Forbidden, match="edited what it runs"):
            decide(approval, editor)
    assert decide(approval, first) == "Approved. It runs now."
    with pytest.raises(IntegrityError), transaction.atomic():
        RunbookVersion.objects.filter(number=2).update(editors=[])


def test_who_lately_changed_the_source_is_excluded_from_what_its_alerts_start(project: Project) -> None:
    editor = factories.actor(factories.person("author", {project: "admin"}))
    lately = approver(project, "lately")
    source = factories.source(project)
    with transaction.atomic():
        record(lately, "source.changed", source)
    steps = "- {id: ask, kind: approval, prompt: Do it?, timeout: 5m, approvers: {exclude: [last_editor]}}"
    made = versions.create(project, document(steps), actor=editor)
    versions.publish(made, actor=editor, message="")
    made.refresh_from_db()
    robot = factories.actor(source.run_as, Channel.AUTOMATION)
    alert = factories.alert(project, source)
    runs.start(made, inputs={}, actor=robot, alert=alert)
    with pytest.raises(Forbidden, match="somebody else"):
        decide(Approval.objects.get(), lately)
    assert str(source.run_as_id) in Approval.objects.get().excluded
    assert decide(Approval.objects.get(), approver(project)) == "Approved. It runs now."
