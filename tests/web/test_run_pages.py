"""Runs on the web: in words, step by step, live, stopped, and decided where nobody knows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from handrail.accounts.models import User
from handrail.shared.clock import now
from runbooks import queries, runs
from runbooks.models import Run, StepRun
from tests import factories
from tests.web import scene as scenes
from tests.web.scene import Scene

Browse = Callable[[User], Client]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "pending"}, "Waiting for a worker to begin"),
        ({"state": "paused"}, "Paused"),
        ({"state": "cancelled", "cancel_reason": "not needed"}, "Stopped: not needed"),
        ({"state": "succeeded", "outcome": {"recovered": True}}, "Succeeded"),
        ({"state": "succeeded", "outcome": {"recovered": False}}, "Ran to its end, but not recovered"),
        ({"state": "failed", "error": {"code": "expired"}}, "Ended: nobody approved in time"),
        ({"state": "cancelling"}, "Stopping"),
        ({"state": "waiting"}, "Between two steps"),
    ],
)
def test_the_state_of_a_run_is_said_in_words(scene: Scene, fields: dict[str, object], words: str) -> None:
    assert queries.state_in_words(scenes.run(scene, **fields)) == words


def test_a_running_step_is_counted_among_the_steps_that_do_something(scene: Scene) -> None:
    run = scenes.run(scene)
    scenes.step(run, "evidence", "executing")
    scenes.step(run, "error_rate", "succeeded")
    scenes.step(run, "deploys", "executing")
    assert queries.state_in_words(run) == "Running step 2 of 6: List the latest deploys"


def test_a_retry_an_undoing_and_the_end_are_said_as_such(scene: Scene) -> None:
    run = scenes.run(scene)
    shift = scenes.step(run, "shift", "ready", attempt=2, ready_at=now() + timedelta(seconds=30))
    assert queries.state_in_words(run).startswith("Trying again soon: Take the region out")
    StepRun.objects.filter(pk=shift.pk).update(state="succeeded")
    looking = scenes.step(run, "recovered", "ready", attempt=1, ready_at=now() + timedelta(seconds=30))
    assert queries.state_in_words(run) == "Looking again soon: Has the error rate recovered?"
    StepRun.objects.filter(pk=looking.pk).update(state="succeeded")
    scenes.step(run, "shift", "executing", role="compensate", title="Undo: Take the region out")
    assert queries.state_in_words(run) == "Undoing: Take the region out of the load balancer"
    other = scenes.run(scene)
    scenes.step(other, "report", "executing")
    assert queries.state_in_words(other) == "Cleaning up: Say how it ended"


def test_what_a_run_waits_for_is_counted_in_approvals(scene: Scene) -> None:
    assert queries.state_in_words(scenes.asking(scene, votes=1).run) == "Waiting for 1 more approval"
    assert queries.state_in_words(scenes.asking(scene, votes=0).run) == "Waiting for 2 approvals"


def test_a_run_failed_at_the_step_whose_error_it_has(scene: Scene) -> None:
    error = {"code": "connection_refused", "message": "Nothing answers"}
    run = scenes.run(scene, state="failed", error=error)
    scenes.step(run, "deploys", "failed", error={"code": "not_found", "message": "404"})
    scenes.step(run, "shift", "failed", error=error)
    assert queries.state_in_words(run) == "Failed at: Take the region out of the load balancer"


def test_every_step_is_listed_in_written_order_also_those_to_come(scene: Scene) -> None:
    steps = queries.steps_of(scenes.contained(scene))
    assert [(view.node, view.depth, view.number) for view in steps] == [
        ("evidence", 0, None),
        ("error_rate", 1, 1),
        ("deploys", 1, 2),
        ("contain", 0, None),
        ("shift", 1, 3),
        ("recovered", 1, 4),
        ("approve_failover", 0, 5),
        ("db_failover", 0, 6),
        ("report", 0, 1),
    ]
    assert [view.state for view in steps][-3:] == ["pending"] * 3


def test_a_block_without_a_row_is_what_its_steps_are(scene: Scene) -> None:
    run = scenes.run(scene)
    scenes.step(run, "error_rate", "succeeded")
    states = {view.node: view.state for view in queries.steps_of(run)}
    assert states["evidence"] == "executing"
    assert states["contain"] == "pending"


def test_the_steps_and_the_graph_cost_the_same_however_long_the_run(
    scene: Scene, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = Run.objects.select_related("version").get(pk=scenes.asking(scene).run_id)
    with django_assert_num_queries(4):
        queries.graph(run, queries.steps_of(run))


def test_the_graph_has_the_edges_of_the_runbook_and_leads_to_each_step(scene: Scene) -> None:
    run = scenes.contained(scene)
    view = queries.graph(run)
    assert ("contain", "approve_failover") in view.edges
    assert ("error_rate", "deploys") not in view.edges
    assert ("db_failover", "phase:finally") in view.edges
    shift = next(node for node in view.nodes if node.id == "shift")
    assert (shift.parent, shift.state) == ("contain", "compensated")
    assert shift.href == f"/runs/{run.pk}/?step=shift#step"


def test_the_list_is_filtered_and_paged_without_losing_a_run(scene: Scene, browse: Browse) -> None:
    client = browse(scene.viewer)
    made = [scenes.run(scene, state="failed" if n % 2 else "running", is_open=not n % 2) for n in range(60)]
    first = client.get("/runs/?state=open").content.decode()
    assert first.count('class="row"') == 25
    assert "Older" in first
    seen: set[str] = set()
    address = "/runs/"
    while address:
        page = client.get(address)
        seen |= {str(run.pk) for run in page.context["runs"]}
        address = f"/runs/{page.context['next_url']}" if page.context["next_url"] else ""
    assert seen == {str(run.pk) for run in made}
    assert client.get("/runs/?before=nonsense&state=x&runbook=shop/high-error-rate").status_code == 200
    assert "No run fits" in client.get("/runs/?runbook=shop/other").content.decode()


def test_the_page_shows_the_step_that_matters_and_any_other_on_request(scene: Scene, browse: Browse) -> None:
    run = scenes.contained(scene)
    failing = scenes.step(run, "db_failover", "executing")
    scenes.log(failing, "connecting to <db>")
    client = browse(scene.viewer)
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "connecting to &lt;db&gt;" in page
    other = client.get(f"/runs/{run.pk}/?step=recovered").content.decode()
    assert "Not met within 10 min" in other
    assert "Give it more time" in other
    same = client.get(f"/runs/{run.pk}/steps/{failing.pk}/").content.decode()
    assert "connecting to &lt;db&gt;" in same


@pytest.mark.parametrize("code", ["not_approved", "approval_void", "not_reached"])
def test_what_fails_for_a_reason_of_its_own_has_advice_of_its_own(code: str) -> None:
    assert queries.what_to_do({"code": code}) != queries.what_to_do({"code": "something else"})


def test_a_skipped_step_says_why(scene: Scene, browse: Browse) -> None:
    run = scenes.run(scene)
    scenes.step(run, "approve_failover", "skipped", reason='steps.contain.status is "succeeded"')
    page = browse(scene.viewer).get(f"/runs/{run.pk}/?step=approve_failover").content.decode()
    assert "Why it was left out" in page
    assert "steps.contain.status is &quot;succeeded&quot;" in page


def test_secret_inputs_are_on_no_page(scene: Scene, browse: Browse) -> None:
    text = scenes.SOURCE.replace(
        "region: {type: enum", "password: {type: string, secret: true}\n  region: {type: enum"
    )
    secret = factories.runbook(scene.project, text=text.replace("high-error-rate", "with-secret", 1))
    run = factories.run(secret, inputs={**scenes.INPUTS, "password": "hunter2"})
    page = browse(scene.viewer).get(f"/runs/{run.pk}/").content.decode()
    assert "(secret)" in page
    assert "hunter2" not in page


def test_a_run_of_others_is_not_there(scene: Scene, browse: Browse) -> None:
    run = scenes.run(scene)
    outsider = browse(factories.person("eve", {factories.project("elsewhere"): "admin"}))
    for address in ("", "live/"):
        assert outsider.get(f"/runs/{run.pk}/{address}").status_code == 404


def test_a_start_is_checked_in_place_and_leads_to_the_run(scene: Scene, browse: Browse) -> None:
    client = browse(scene.admin)
    wrong = client.post(
        "/runbooks/shop/high-error-rate/start/", {"input.service": "check out", "input.region": "eu-1"}
    )
    assert wrong.status_code == 422
    assert "does not match" in wrong.content.decode()
    assert "check out" in wrong.content.decode()
    right = {
        "input.service": "checkout",
        "input.region": "eu-1",
        "input.max_error_rate": "0.05",
        "once": "a" * 32,
    }
    answer = client.post("/runbooks/shop/high-error-rate/start/", right)
    assert answer.status_code == 303
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.inputs == {"service": "checkout", "region": "eu-1", "max_error_rate": 0.05}
    again = client.post("/runbooks/shop/high-error-rate/start/", right)
    assert again["Location"] == f"/runs/{run.pk}/"
    assert Run.objects.count() == 1


def test_a_run_is_stopped_with_a_reason_after_the_preview(scene: Scene, browse: Browse) -> None:
    actor = factories.actor(scene.admin)
    run = runs.start(scene.runbook, inputs=dict(scenes.INPUTS), actor=actor).run
    client = browse(scene.admin)
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Stop this run?" in page
    assert "Fail the database over" in page[page.index("Not started") :]
    assert client.post(f"/runs/{run.pk}/stop/", {"reason": " "}).status_code == 422
    assert client.post(f"/runs/{run.pk}/stop/", {"reason": "false alarm"}).status_code == 303
    refused = client.post(f"/runs/{run.pk}/stop/", {"reason": "again"})
    assert refused.status_code == 409
    assert "That was not done" in refused.content.decode()


def test_only_a_responder_is_offered_to_stop_or_to_decide(scene: Scene, browse: Browse) -> None:
    step = scenes.uncertain(scene)
    page = browse(scene.viewer).get(f"/runs/{step.run_id}/").content.decode()
    assert "Outcome unknown: Fail the database over" in page
    assert "A responder of Shop decides this" in page
    assert "Stop this run?" not in page
    mine = browse(scene.admin).get(f"/runs/{step.run_id}/").content.decode()
    assert "It happened: go on" in mine
    assert "cannot be undone" in mine


def test_an_undoing_of_which_nobody_knows_is_decided_on_the_page_of_its_run(
    scene: Scene, browse: Browse
) -> None:
    made = scenes.contained(scene, state=Run.State.WAITING)
    undoing = StepRun.objects.get(run=made, node="shift", role="compensate")
    undoing.state, undoing.error = "uncertain", {"code": "timeout", "message": "No answer came."}
    undoing.save()
    page = browse(scene.admin).get(f"/runs/{made.pk}/steps/{undoing.pk}/").content.decode()
    assert "Outcome unknown: the undoing of " in page
    assert "cannot be undone" not in page
    assert f'action="/runs/{made.pk}/steps/{undoing.pk}/decide/"' in page


def test_a_step_of_another_run_is_not_decided_here(scene: Scene, browse: Browse) -> None:
    step, other = scenes.uncertain(scene), scenes.run(scene)
    answer = browse(scene.admin).post(
        f"/runs/{other.pk}/steps/{step.pk}/decide/", {"choice": "done", "reason": "x"}
    )
    assert answer.status_code == 404


def test_a_summary_of_a_run_stands_in_other_pages(scene: Scene) -> None:
    from django.template.loader import render_to_string

    run = scenes.asking(scene).run
    html = render_to_string("web/runs/summary.html", {"run": run})
    assert "Waiting for 1 more approval" in html
    assert f'href="/runs/{run.pk}/"' in html


def test_the_copied_command_starts_the_same_again(scene: Scene, browse: Browse) -> None:
    run = scenes.run(scene)
    page = browse(scene.viewer).get(f"/runs/{run.pk}/")
    command = shlex.split(page.context["curl"])
    assert 'data-copy="curl -X POST' in page.content.decode()
    address, body = urlsplit(command[3]).path, command[-1]
    account = factories.service_account(scene.project, "responder")
    bearer = {"Authorization": f"Bearer {factories.token(account, 'view', 'respond')}"}
    answer = Client().post(address, body, content_type="application/json", headers=bearer)
    assert answer.status_code == 201, answer.content
    assert Run.objects.get(pk=answer.json()["run"]["id"]).inputs == run.inputs


def test_of_several_failed_steps_the_page_shows_the_one_the_run_failed_at(
    scene: Scene, browse: Browse
) -> None:
    error = {"code": "connection_refused", "message": "Nothing answers"}
    run = scenes.run(scene, state="failed", is_open=False, error=error)
    scenes.step(run, "deploys", "failed", error={"code": "not_found", "message": "404"})
    scenes.step(run, "shift", "failed", error=error)
    assert browse(scene.viewer).get(f"/runs/{run.pk}/").context["current"] == "shift"


def test_a_refused_form_leaves_a_page_that_goes_on_following_its_run(scene: Scene, browse: Browse) -> None:
    run = scenes.uncertain(scene).run
    client, own = browse(scene.admin), f'data-live-page="/runs/{run.pk}/"'
    assert own not in client.get(f"/runs/{run.pk}/").content.decode()
    refused = client.post(f"/runs/{run.pk}/stop/", {"reason": ""})
    assert refused.status_code == 422
    assert own in refused.content.decode()


def test_the_inputs_of_a_run_are_shown_as_people_write_them(scene: Scene, browse: Browse) -> None:
    run = scenes.run(scene)
    Run.objects.filter(pk=run.pk).update(inputs={"force": False, "extra": {"a": [None]}, "none": None})
    page = browse(scene.viewer).get(f"/runs/{run.pk}/")
    assert page.context["inputs"] == {"force": "false", "extra": '{"a": [null]}', "none": None}
