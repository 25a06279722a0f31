"""The page of a run steers it: paused, resumed, stopped in four ways, handed over, a step skipped; by plain forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from handrail.accounts.models import Project, User
from runbooks import checklist, resuming, runs, stopping, versions
from runbooks.models import Run, StepRun
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

Browse = Callable[[User], Client]
STEPS = "steps:\n  - {id: rest, kind: wait, for: 1h}\n  - {id: look, uses: noop}\n"
HEAD = "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: steered, title: Steered}\n"
INPUTS = "inputs: {host: {type: string}}\n"


@pytest.fixture
def person(project: Project) -> User:
    return factories.person(roles={project: "admin"})


@pytest.fixture
def run(project: Project, person: User) -> Run:
    made = versions.create(project, HEAD + INPUTS + STEPS, actor=factories.actor(person))
    versions.publish(made, actor=factories.actor(person), message="first")
    made.refresh_from_db()
    return runs.start(made, inputs={"host": "db-7"}, actor=factories.actor(person)).run


def text(client: Client, run: Run, step: str = "") -> str:
    answer = client.get(f"/runs/{run.pk}/", {"step": step})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_run_is_paused_and_resumed_by_forms(run: Run, person: User, browse: Browse) -> None:
    client = browse(person)
    assert "Pause the run" in text(client, run)
    assert client.post(f"/runs/{run.pk}/pause/", {"reason": "odd numbers"}).status_code == 303
    shown = text(client, run)
    assert "Paused: odd numbers" in shown
    assert f'action="/runs/{run.pk}/resume/"' in shown
    assert client.post(f"/runs/{run.pk}/resume/").status_code == 303
    assert "Waiting" in text(client, run)


def test_the_dialog_says_what_each_way_to_stop_would_do(run: Run, person: User, browse: Browse) -> None:
    shown = text(browse(person), run)
    for how in ("freeze", "cancel", "undo", "hand_over"):
        assert f'name="how" value="{how}"' in shown
    assert "There is nothing that could be undone." in shown


def test_waiting_is_skipped_on_the_page(run: Run, person: User, browse: Browse) -> None:
    client = browse(person)
    assert "Skip waiting" in text(client, run, "rest")
    assert client.post(f"/runs/{run.pk}/skip/", {"step": "rest", "reason": "long enough"}).status_code == 303
    assert StepRun.objects.get(run=run, node="rest").state == "skipped"
    assert "Skip this step" not in text(client, run, "rest")


def test_what_was_handed_over_is_ticked_off_on_the_page(run: Run, person: User, browse: Browse) -> None:
    client = browse(person)
    client.post(f"/runs/{run.pk}/stop/", {"how": "hand_over", "reason": "by hand"})
    shown = text(client, run)
    assert "2 of 2 open" in shown
    refused = client.post(f"/runs/{run.pk}/checklist/", {"items": ["rest"], "choice": "skip"})
    assert refused.status_code == 422
    assert 'value="rest" checked' in refused.content.decode(), "what was ticked stays ticked"
    client.post(
        f"/runs/{run.pk}/checklist/", {"items": ["rest", "look"], "choice": "done", "note": "did both"}
    )
    shown = text(client, run)
    assert "Handed over: 2 steps done by hand, 0 left out" in shown
    assert "did both" in shown


def test_a_long_checklist_has_pages_and_a_tick_leads_back_to_its_own(
    project: Project, person: User, browse: Browse
) -> None:
    steps = "".join(
        f"  - {{id: s{n}, kind: manual, timeout: 1h, prompt: Do number {n}.}}\n" for n in range(30)
    )
    made = factories.runbook(project, "long", text=f"{HEAD}steps:\n{steps}")
    run = runs.start(made, inputs={}, actor=factories.actor(person)).run
    stopping.stop(run.pk, actor=factories.actor(person), how="hand_over", reason="by hand")
    client = browse(person)
    first = client.get(f"/runs/{run.pk}/").content.decode()
    assert ("30 of 30 open" in first, 'value="s24"' in first, 'value="s25"' in first) == (True, True, False)
    assert 'href="?page=2#checklist-title"' in first
    second = client.get(f"/runs/{run.pk}/?page=2").content.decode()
    assert ('value="s24"' in second, 'value="s25"' in second) == (False, True)
    form = f"/runs/{run.pk}/checklist/?page=2"
    assert f'action="{form}"' in second
    refused = client.post(form, {"items": ["s25"], "choice": "skip"})
    assert (refused.status_code, f'href="/runs/{run.pk}/?page=1#' in refused.content.decode()) == (422, True)
    assert f'data-live-page="/runs/{run.pk}/?page=2"' in refused.content.decode()
    assert client.post(form, {"items": ["s25"], "choice": "done"})["Location"] == f"/runs/{run.pk}/?page=2"


def test_a_stopped_run_is_resumed_or_restarted_from_its_page(run: Run, person: User, browse: Browse) -> None:
    client, actor = browse(person), factories.actor(person)
    stopping.stop(run.pk, actor=actor, reason="enough")
    assert "Resume the run" in text(client, run)
    refused = client.get(f"/runs/{run.pk}/restart/")
    assert refused.status_code == 409
    newer = HEAD + "inputs: {zone: {type: string, required: true}}\n" + STEPS
    versions.save_draft(run.runbook, newer, actor=actor, expected_revision=versions.revision_of(run.runbook))
    versions.publish(run.runbook, actor=actor, message="second")
    form = client.get(f"/runs/{run.pk}/restart/").content.decode()
    assert "does not have these inputs: host" in form
    sent = {"version": "2", "reason": "again", "input.zone": ""}
    assert client.post(f"/runs/{run.pk}/restart/", sent).status_code == 422
    done = client.post(f"/runs/{run.pk}/restart/", {**sent, "input.zone": "eu-1"})
    assert done.status_code == 303
    new = run.restarts.get()
    assert new.inputs == {"zone": "eu-1"}
    assert str(new.pk) in text(client, run)
    assert str(run.pk) in text(client, new)


def test_somebody_who_only_looks_is_offered_nothing(run: Run, project: Project, browse: Browse) -> None:
    shown = text(browse(factories.person(roles={project: "viewer"})), run, "rest")
    assert "Pause the run" not in shown
    assert "Skip waiting" not in shown


def test_a_resume_that_meets_somebody_else_is_told_in_place(run: Run, person: User, browse: Browse) -> None:
    client = browse(person)
    resuming.pause(run.pk, actor=factories.actor(person), reason="wait")
    assert client.post(f"/runs/{run.pk}/pause/", {"reason": "me, too"}).status_code == 409


UNTITLED = """
  - {id: one, uses: http.request, with: {connection: c, method: POST}}
  - {id: rest, kind: wait, for: 1h}
"""


def test_a_step_without_a_title_is_called_by_its_id_and_not_by_what_it_calls(
    project: Project, person: User
) -> None:
    actor = factories.actor(person)
    made = factories.runbook(project, "untitled", text=f"{HEAD}steps:{UNTITLED}")
    run = runs.start(made, inputs={}, actor=actor).run
    assert StepRun.objects.get(run=run, node="one").title == "one"
    stopping.stop(run.pk, actor=actor, how="hand_over", reason="by hand")
    assert [item.title for item in checklist.checklist(run.pk, actor)] == ["one", "rest"]
