"""Drafts lose nobody's text, published versions never change, and the live pointer says why it moved."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from runbooks import versions
from runbooks.models import Runbook, RunbookVersion
from tests import factories
from tests.factories import RUNBOOK
from tests.runbooks.execution.stage import scripted

pytestmark = pytest.mark.django_db

LATER = RUNBOOK.replace("Look", "Look twice")
BROKEN = RUNBOOK.replace("noop", "nop")


@pytest.fixture
def author(project: Project) -> Actor:
    return factories.actor(factories.person("ann", {project: "author"}))


@pytest.fixture
def runbook(project: Project, admin: Actor) -> Runbook:
    """A runbook whose version 1 is live, and which has no draft."""
    made = versions.create(project, RUNBOOK, actor=admin)
    versions.publish(made, actor=admin, message="first")
    return fresh(made)


def fresh(runbook: Runbook) -> Runbook:
    return Runbook.objects.select_related("live", "project").get(pk=runbook.pk)


def save(runbook: Runbook, source: str, actor: Actor) -> RunbookVersion:
    return versions.save_draft(
        runbook, source, actor=actor, expected_revision=versions.revision_of(fresh(runbook))
    )


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("n").values_list("action", flat=True))


# --- creating --------------------------------------------------------------------------------


def test_a_new_runbook_is_a_draft_named_by_its_text(project: Project, author: Actor) -> None:
    made = versions.create(project, RUNBOOK, actor=author)
    draft = versions.draft_of(made)
    assert (made.slug, made.title, made.live) == ("restart-checkout", "Restart checkout", None)
    assert draft is not None
    assert (draft.state, draft.revision, draft.number, draft.author_id) == ("draft", 1, None, author.user_id)
    assert actions()[-1] == "runbook.created"


def test_a_draft_may_have_problems_as_long_as_it_has_a_name(project: Project, author: Actor) -> None:
    made = versions.create(project, BROKEN, actor=author)
    draft = versions.draft_of(made)
    assert draft is not None
    assert draft.source == BROKEN
    assert (draft.canonical, draft.digest) == ("", "")


@pytest.mark.parametrize(
    "name", ['""', "Restart", "résumé", "-a", "a-", "---", "a b", "a" * 64, "[a]", "1.5", "null"]
)
def test_a_name_that_no_address_can_have_is_refused(project: Project, author: Actor, name: str) -> None:
    with pytest.raises(Invalid, match="short name"):
        versions.create(project, RUNBOOK.replace("restart-checkout", name), actor=author)


def test_a_text_without_metadata_says_what_to_begin_with(project: Project, author: Actor) -> None:
    with pytest.raises(Invalid, match="problem"):
        versions.create(project, "steps: []", actor=author)
    with pytest.raises(Invalid, match="problem"):
        versions.create(project, "- a list", actor=author)


def test_odd_metadata_does_not_stop_a_draft(project: Project, author: Actor) -> None:
    odd = RUNBOOK.replace("title: Restart checkout", 'title: [], description: "a\\0b", owner: {a: b}')
    made = versions.create(project, odd, actor=author)
    assert (made.title, made.description, made.owner) == ("restart-checkout", "ab", "")


def test_a_second_runbook_of_the_same_name_is_refused_but_not_elsewhere(
    project: Project, other_project: Project, author: Actor, outsider: Actor
) -> None:
    versions.create(project, RUNBOOK, actor=author)
    with pytest.raises(Conflict, match="already has a runbook 'restart-checkout'"):
        versions.create(project, RUNBOOK, actor=author)
    versions.create(other_project, RUNBOOK, actor=outsider)


@pytest.mark.parametrize("text", ["x" * (versions.LARGEST_SOURCE + 1), "a: \x00", "a: \udc00"])
def test_what_no_database_keeps_is_refused(project: Project, author: Actor, text: str) -> None:
    with pytest.raises(Invalid):
        versions.create(project, text, actor=author)


def test_only_authors_write_and_strangers_see_nothing(
    project: Project, runbook: Runbook, viewer: Actor, outsider: Actor
) -> None:
    with pytest.raises(Forbidden):
        versions.create(project, LATER, actor=viewer)
    with pytest.raises(Forbidden):
        versions.save_draft(runbook, LATER, actor=viewer, expected_revision=0)
    with pytest.raises(Forbidden):
        versions.discard_draft(runbook, actor=viewer)
    with pytest.raises(NotFound):
        versions.save_draft(runbook, LATER, actor=outsider, expected_revision=0)


# --- drafts: nobody's text is lost ---------------------------------------------------------------


def test_saving_over_somebody_else_s_text_is_refused_and_says_whose_it_is(
    runbook: Runbook, author: Actor, admin: Actor
) -> None:
    seen = versions.revision_of(runbook)
    theirs = versions.save_draft(runbook, LATER, actor=author, expected_revision=seen)
    with pytest.raises(Conflict, match="ann saved this draft while you were editing") as refused:
        versions.save_draft(runbook, BROKEN, actor=admin, expected_revision=seen)
    assert refused.value.details["revision"] == theirs.revision
    draft = versions.draft_of(runbook)
    assert draft is not None
    assert draft.source == LATER


def test_a_draft_that_follows_a_discarded_one_is_not_mistaken_for_it(
    runbook: Runbook, author: Actor, admin: Actor
) -> None:
    old = save(runbook, LATER, author)
    versions.discard_draft(runbook, actor=admin)
    save(runbook, LATER + "# theirs\n", admin)
    with pytest.raises(Conflict, match="saved this draft"):
        versions.save_draft(runbook, LATER + "# mine\n", actor=author, expected_revision=old.revision)


def test_an_editor_that_was_open_during_a_publication_is_refused(
    runbook: Runbook, author: Actor, admin: Actor
) -> None:
    before = versions.revision_of(runbook)
    save(runbook, LATER, admin)
    versions.publish(runbook, actor=admin, message="second")
    with pytest.raises(Conflict, match="published or discarded, and v2 is live"):
        versions.save_draft(runbook, RUNBOOK + "# mine\n", actor=author, expected_revision=before)
    assert versions.draft_of(runbook) is None


def test_a_discarded_first_draft_would_leave_nothing(project: Project, author: Actor) -> None:
    made = versions.create(project, RUNBOOK, actor=author)
    with pytest.raises(Conflict, match="never published"):
        versions.discard_draft(made, actor=author)


def test_discarding_needs_a_draft_and_keeps_the_live_version(runbook: Runbook, author: Actor) -> None:
    with pytest.raises(Conflict, match="no draft to discard"):
        versions.discard_draft(runbook, actor=author)
    save(runbook, LATER, author)
    versions.discard_draft(runbook, actor=author)
    assert versions.draft_of(runbook) is None
    assert fresh(runbook).live == runbook.live
    assert actions()[-2:] == ["runbook.drafted", "runbook.draft_discarded"]


def test_a_draft_remembers_what_it_was_based_on_and_who_edited_last(
    runbook: Runbook, author: Actor, admin: Actor
) -> None:
    save(runbook, LATER, admin)
    draft = save(runbook, LATER + "# more\n", author)
    assert draft.based_on == runbook.live
    assert draft.author_id == author.user_id


def test_nothing_was_read_before_the_first_text(project: Project) -> None:
    assert versions.revision_of(factories.runbook(project, published=False)) == 1
    assert versions.revision_of(Runbook.objects.create(project=project, slug="empty", title="Empty")) == 0
    empty = Runbook(project=project, slug="unsaved", title="")
    assert versions.draft_of(empty) is None


# --- publishing ----------------------------------------------------------------------------------


def test_publishing_makes_the_next_number_live(runbook: Runbook, admin: Actor) -> None:
    save(runbook, LATER.replace("title: Restart checkout", "title: Better, owner: 'team:sre'"), admin)
    made = versions.publish(runbook, actor=admin, message="  it was time  ")
    row = fresh(runbook)
    assert (made.number, made.state, made.message) == (2, "published", "it was time")
    assert (made.publisher_id, row.live_id, row.title) == (admin.user_id, made.pk, "Better")
    entry = AuditEntry.objects.get(action="runbook.published", data__number=2)
    assert entry.after_digest
    assert entry.before_digest


def test_an_author_does_not_publish_and_an_approver_does(
    project: Project, runbook: Runbook, author: Actor
) -> None:
    save(runbook, LATER, author)
    with pytest.raises(Forbidden):
        versions.publish(runbook, actor=author, message="")
    approver = factories.actor(factories.person(roles={project: "approver"}))
    assert versions.publish(runbook, actor=approver, message="").number == 2


def test_only_the_text_that_was_read_is_published(runbook: Runbook, author: Actor, admin: Actor) -> None:
    seen = save(runbook, LATER, author)
    save(runbook, LATER + "# and this\n", author)
    with pytest.raises(Conflict, match="changed since you looked"):
        versions.publish(runbook, actor=admin, message="", expected_revision=seen.revision)


def test_there_must_be_something_to_publish(runbook: Runbook, admin: Actor) -> None:
    with pytest.raises(Conflict, match="no draft to publish"):
        versions.publish(runbook, actor=admin, message="")
    save(runbook, "# a comment\n" + RUNBOOK, admin)
    with pytest.raises(Conflict, match="means the same as the live version v1"):
        versions.publish(runbook, actor=admin, message="")


def test_problems_are_told_with_their_places_and_nothing_is_published(runbook: Runbook, admin: Actor) -> None:
    save(runbook, BROKEN, admin)
    with pytest.raises(Invalid, match="The draft has a problem") as refused:
        versions.publish(runbook, actor=admin, message="")
    assert [problem["line"] for problem in refused.value.details["problems"]] == [5]
    save(runbook, BROKEN + "what: is this\n", admin)
    with pytest.raises(Invalid, match="2 problems"):
        versions.publish(runbook, actor=admin, message="")
    assert fresh(runbook).live == runbook.live


def test_an_id_never_changes(runbook: Runbook, admin: Actor) -> None:
    save(runbook, RUNBOOK.replace("restart-checkout", "something-else"), admin)
    with pytest.raises(Invalid, match="an id never changes"):
        versions.publish(runbook, actor=admin, message="")


# --- published versions stay as they are -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"source": LATER}, {"canonical": "{}"}, {"digest": "0" * 64}, {"number": 7}, {"number": None}],
    ids=str,
)
def test_the_database_refuses_to_change_a_published_version(
    runbook: Runbook, change: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
        RunbookVersion.objects.filter(pk=runbook.live_id).update(**change)


def test_a_published_version_may_retire(runbook: Runbook) -> None:
    changed = RunbookVersion.objects.filter(pk=runbook.live_id).update(
        state=RunbookVersion.State.RETIRED, author=None
    )
    assert changed == 1


# --- rolling back --------------------------------------------------------------------------------


def test_rolling_back_moves_the_pointer_and_says_why(runbook: Runbook, admin: Actor) -> None:
    save(runbook, LATER.replace("title: Restart checkout", "title: Worse"), admin)
    versions.publish(runbook, actor=admin, message="")
    versions.roll_back(runbook, number=1, actor=admin, reason=" it was better ")
    row = fresh(runbook)
    assert row.live is not None
    assert (row.live.number, row.title) == (1, "Restart checkout")
    entry = AuditEntry.objects.get(action="runbook.rolled_back")
    assert entry.data == {"number": 1, "reason": "it was better"}
    save(runbook, LATER + "# third\n", admin)
    assert versions.publish(runbook, actor=admin, message="").number == 3


def test_rolling_back_needs_a_reason_a_version_and_a_change(
    runbook: Runbook, admin: Actor, author: Actor
) -> None:
    with pytest.raises(Invalid, match="Say why"):
        versions.roll_back(runbook, number=1, actor=admin, reason="  ")
    with pytest.raises(NotFound, match="no published version 9"):
        versions.roll_back(runbook, number=9, actor=admin, reason="because")
    with pytest.raises(Conflict, match="live already"):
        versions.roll_back(runbook, number=1, actor=admin, reason="because")
    with pytest.raises(Forbidden):
        versions.roll_back(runbook, number=1, actor=author, reason="because")


def test_a_version_whose_action_is_gone_says_what_to_install(project: Project, admin: Actor) -> None:
    with scripted():
        made = versions.create(project, RUNBOOK.replace("noop", "test.call"), actor=admin)
        version = versions.publish(made, actor=admin, message="")
    versions._definition.cache_clear()  # as in a process that has not read it yet
    with pytest.raises(Invalid, match="install the package"):
        versions.definition_of(version)


def test_a_version_whose_action_is_gone_may_still_be_gone_back_to(project: Project, admin: Actor) -> None:
    with scripted():
        made = versions.create(project, RUNBOOK.replace("noop", "test.call"), actor=admin)
        versions.publish(made, actor=admin, message="")
    save(made, LATER, admin)
    versions.publish(made, actor=admin, message="")
    versions.roll_back(made, number=1, actor=admin, reason="the package comes back today")
    assert fresh(made).title == "Restart checkout"
