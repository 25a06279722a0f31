"""The pages of runs whose steps have items, wait for people, or run other runbooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project, User
from handrail.shared.clock import now
from runbooks import queries, stopping
from runbooks.models import Approval, Run, StepRun
from runbooks.steps.base import Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, scripted

pytestmark = pytest.mark.django_db(transaction=True)

LOOP = """
- id: each
  title: Restart the hosts
  kind: for_each
  items: '["db-1", "db-2", "db-3"]'
  on_item_failure: continue
  steps:
    - {id: act, title: Restart, uses: noop, with: {outputs: {host: "${{ item }}"}}}
    - {id: check, uses: noop, when: item == steps.act.outputs.host || steps.act.outputs.none}
"""


@pytest.fixture
def person(project: Project) -> User:
    return factories.person(roles={project: "admin"})


@pytest.fixture
def stage(project: Project, person: User) -> Stage:
    return Stage(project, factories.actor(person))


@pytest.fixture
def calls() -> Iterator[type[Scripted]]:
    """``test.call`` is known; its script is empty."""
    with scripted() as action:
        yield action


@pytest.fixture
def client(person: User) -> Client:
    found = Client()
    found.force_login(person)
    return found


def page(client: Client, run: Run, chosen: str = "") -> str:
    answer = client.get(f"/runs/{run.pk}/", {"step": chosen} if chosen else {})
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_loop_tells_how_far_its_items_are_and_each_has_a_page(client: Client, stage: Stage) -> None:
    run = stage.start(stage.publish(LOOP))
    started = StepRun.objects.get(run=run, node="act")
    assert "Running step 1 of 2: Restart, item 1" in page(client, run)
    stage.drive(run)
    whole = page(client, run, "each")
    assert "3 of 3" in whole
    for n, host in enumerate(("db-1", "db-2", "db-3")):
        assert f'href="/runs/{run.pk}/?step=each%5B{n}%5D#step">{host}</a>' in whole
    one = page(client, run, "act[1]")
    assert "Restart: db-2" in one
    assert "&quot;host&quot;: &quot;db-2&quot;" in one
    assert "db-1" in client.get(f"/runs/{run.pk}/steps/{started.pk}/").content.decode()


def test_a_step_to_which_some_items_never_came_does_not_go_on_when_the_loop_is_over(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script["act"] = [Failure("rejected", "No.", retryable=False)]
    text = LOOP.replace("uses: noop, with", "uses: test.call, with").partition(", when:")[0]
    run = stage.start(stage.publish(f"{text}}}"))
    stage.drive(run)
    states = {view.node: (view.state, view.tally) for view in queries.steps_of(run)}
    assert states["each"][0] == "succeeded"
    assert states["check"][0] == "succeeded", states


def test_a_step_shows_its_target_as_a_kill_switch_names_it(
    client: Client, stage: Stage, calls: type[Scripted]
) -> None:
    calls.reached = "db-7"
    run = stage.start(stage.publish("- {id: act, uses: test.call}"))
    stage.drive(run)
    calls.reached = "test"
    assert "<dt>Target</dt>" in page(client, run, "act")
    assert 'data-copy="db-7"' in page(client, run, "act")


def test_an_undoing_that_failed_says_why_and_what_it_said(
    client: Client, stage: Stage, calls: type[Scripted]
) -> None:
    undoable = "{id: act, uses: test.call, compensate: {uses: test.call}}"
    run = stage.start(stage.publish(f"- {undoable}\n- {{id: rest, kind: wait, for: 1h}}"))
    calls.script["act"] = [Success({}), Failure("rejected", "The weight is locked.")]
    stage.drive(run)
    stopping.stop(run.pk, actor=stage.actor, how="undo", reason="wrong region")
    calls.reached = "elsewhere"
    stage.drive(run)
    calls.reached = "test"
    undoing = StepRun.objects.get(run=run, node="act", role="compensate")
    undoing.log.create(n=1, attempt=1, at=now(), stream="stderr", text="locked by ada")
    shown = page(client, run, "act")
    assert ": The weight is locked." in shown
    assert "locked by ada" in shown
    assert 'data-copy="test"' in shown, "its own target, not that of its undoing"


ASKING = """
- id: ask
  kind: approval
  prompt: Fail over?
  for: [act]
  inputs:
    ticket: {type: string, required: true}
    sure: {type: boolean, default: true}
  timeout: 1h
- {id: act, title: Fail over, uses: noop}
"""


def test_what_an_approver_types_is_kept_while_the_page_follows_and_when_a_denial_is_refused(
    project: Project, stage: Stage
) -> None:
    run = stage.start(stage.publish(ASKING))
    approval = Approval.objects.get(run=run)
    other = Client()
    other.force_login(factories.person("noor", {project: "admin"}))
    shown = " ".join(other.get(f"/approvals/{approval.pk}/").content.decode().split())
    form = shown[shown.index(f'id="decide-{approval.pk}"') :]
    assert form.index("data-live-keep") < form.index('name="input.ticket"')
    sent = {"decision": "deny", "reason": "", "input.ticket": "CHG-7"}
    refused = other.post(f"/approvals/{approval.pk}/decide/", sent)
    assert refused.status_code == 422
    typed = refused.content.decode()
    assert 'value="CHG-7"' in typed
    assert 'name="input.sure" value="true" checked' not in typed, "it was not ticked, whatever its default is"


MANUAL = """
- id: cable
  title: Replug the host
  kind: manual
  prompt: Replug db-7.
  inputs: {ticket: {type: string, pattern: "DC-[0-9]+", required: true}}
  timeout: 1h
- {id: after, uses: noop}
"""


def test_a_manual_step_has_a_form_that_keeps_what_was_typed(client: Client, stage: Stage) -> None:
    run = stage.start(stage.publish(MANUAL))
    row = StepRun.objects.get(run=run, node="cable")
    assert "For a person: Replug the host" in page(client, run)
    where = f"/runs/{run.pk}/steps/{row.pk}/answer/"
    refused = client.post(where, {"choice": "done", "input.ticket": "seven", "reason": "Port 3."})
    assert refused.status_code == 422
    again = refused.content.decode()
    assert 'value="seven"' in again
    assert "Port 3." in again
    assert client.post(where, {"choice": "done", "input.ticket": "DC-7"}).status_code == 303
    row.refresh_from_db()
    assert (row.state, row.outputs) == ("succeeded", {"ticket": "DC-7"})
    assert "For a person" not in page(client, run)


def test_a_run_and_the_run_that_it_starts_link_to_each_other(client: Client, stage: Stage) -> None:
    stage.publish("- {id: act, uses: noop}", slug="inner")
    run = stage.start(stage.publish("- {id: sub, title: Drain, kind: runbook, runbook: inner}", slug="outer"))
    child = Run.objects.get(parent_step__run=run)
    assert f'<a href="/runs/{child.pk}/">' in page(client, run, "sub")
    assert f'<a href="/runs/{run.pk}/steps/{child.parent_step_id}/">A runbook: Drain</a>' in page(
        client, child
    )


def loop_over(items: int, step: str) -> str:
    names = ", ".join(f'"db-{n}"' for n in range(items))
    return f"- {{id: each, kind: for_each, items: '[{names}]', concurrency: 9, steps: [{step}]}}"


@pytest.mark.parametrize(
    "step",
    [
        '{id: cable, kind: manual, prompt: "Replug ${{ item }}.", timeout: 1h}',
        "{id: act, uses: test.call, with: {host: '${{ item }}'}}",
    ],
    ids=["waiting for people", "in doubt"],
)
def test_many_items_that_need_somebody_cost_the_page_no_more_queries(
    client: Client, stage: Stage, calls: type[Scripted], step: str
) -> None:
    counts = []
    for items in (2, 6):
        run = stage.start(stage.publish(loop_over(items, step), f"over-{items}"))
        calls.script["act"] = [Failure("timeout", "No answer.", uncertain=True)] * items
        stage.drive(run)
        page(client, run)
        with CaptureQueriesContext(connection) as asked:
            text = page(client, run)
        assert text.count("Replug db-1.") + text.count("Outcome unknown: Act: db-1") == 1
        first = client.get("/").content.decode()
        assert ("cable, item 2”" in first) != ("act, item 2”" in first), (
            "which of them, not the same words twice"
        )
        counts.append(len(asked))
    assert counts[0] == counts[1]
