"""Pages offer to try something again only where that would be done, and say why it would not."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from handrail.letters.models import DeadLetter
from handrail.shared.clock import now
from handrail.shared.errors import Conflict
from runbooks import dead_letters, runs, stopping
from runbooks.models import Run, StepRun, Worker
from runbooks.steps.base import Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage
from tests.runbooks.execution.test_dead_letters import UNDOING, parked

pytestmark = pytest.mark.django_db(transaction=True)

RETRY = 'value="retry"'


@pytest.fixture
def responder(stage: Stage, client: Client) -> Client:
    client.force_login(factories.person(roles={stage.project: "responder"}))
    return client


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def pages(client: Client, letter: DeadLetter) -> tuple[str, str, str]:
    """Of the run, of the letter, and the list."""
    return (
        page(client, f"/runs/{letter.run_id}/"),
        page(client, f"/dead-letters/{letter.pk}/"),
        page(client, "/dead-letters/"),
    )


def over_rest(client: Client, letter: DeadLetter) -> str:
    """Why it would be refused, as the list and the letter itself say."""
    listed = client.get("/api/v1/dead-letters/").json()["results"]
    found = client.get(f"/api/v1/dead-letters/{letter.pk}/").json()["retry_refused"]
    assert [row["retry_refused"] for row in listed] == [found]
    return str(found)


def lives(step: StepRun) -> None:
    """Its worker was heard of a moment ago."""
    Worker.objects.update_or_create(
        pk=step.owner,
        defaults={
            "host": "box",
            "pid": 1,
            "pools": ["default"],
            "started_at": now(),
            "heartbeat_at": now(),
            "stopped_at": None,
        },
    )


def test_a_step_in_doubt_that_may_be_tried_again_says_so_everywhere(
    stage: Stage, calls: type[Scripted], responder: Client
) -> None:
    parked(stage)
    shown = pages(responder, DeadLetter.objects.get())
    assert [RETRY in text for text in shown] == [True, True, True]
    assert "annot be tried again" not in "".join(shown)
    assert over_rest(responder, DeadLetter.objects.get()) == ""


def test_while_a_run_is_being_stopped_no_page_offers_to_begin_a_step_again(
    stage: Stage, calls: type[Scripted], responder: Client
) -> None:
    work = parked(stage)
    stopping.stop(work.live.run.pk, actor=stage.actor, reason="enough")
    with pytest.raises(Conflict) as refused:
        runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="again")
    for text in pages(responder, DeadLetter.objects.get()):
        assert (RETRY in text, refused.value.message in text) == (False, True)
    assert over_rest(responder, DeadLetter.objects.get()) == refused.value.message


def test_of_a_worker_that_may_still_act_one_has_to_be_sure_before(
    stage: Stage, calls: type[Scripted], responder: Client
) -> None:
    work = parked(stage)
    lives(StepRun.objects.get(pk=work.step_id))
    run, letter, listed = pages(responder, DeadLetter.objects.get())
    assert (RETRY in run, 'name="override"' in run) == (True, True)
    assert "was heard of lately" in run
    for text in (letter, listed):
        assert (RETRY in text, "was heard of lately" in text) == (False, True)


def test_an_undoing_that_failed_is_not_offered_to_be_tried_again(
    stage: Stage, calls: type[Scripted], responder: Client
) -> None:
    calls.script["b"] = [Failure("broken", "it broke")]
    calls.script["a"] = [Success({}), Failure("stuck", "the lever is stuck")]
    stage.drive(stage.start(stage.publish(UNDOING)))
    _, letter, listed = pages(responder, DeadLetter.objects.get())
    for text in (letter, listed):
        assert (RETRY in text, "put things right by hand" in text) == (False, True)
    assert "put things right by hand" in over_rest(responder, DeadLetter.objects.get())


def test_of_several_steps_in_doubt_the_one_that_cannot_be_tried_again_says_why(
    stage: Stage, calls: type[Scripted], responder: Client
) -> None:
    steps = """
- id: both
  kind: parallel
  steps:
    - {id: a, uses: test.call}
    - {id: b, uses: test.call}
"""
    unknown = Failure("timeout", "No answer.", uncertain=True)
    calls.script = {"a": [unknown], "b": [unknown]}
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert page(responder, f"/runs/{run.pk}/").count(RETRY) == 3
    stopping.stop(run.pk, actor=stage.actor, reason="enough")
    text = page(responder, f"/runs/{run.pk}/")
    assert (text.count(RETRY), text.count("annot be tried again")) == (0, 4)


def test_it_costs_the_same_for_many_letters(stage: Stage, calls: type[Scripted]) -> None:
    parked(stage)
    first = DeadLetter.objects.get()
    row = StepRun.objects.get(pk=first.ref)
    several, runbook = [first], Run.objects.get(pk=row.run_id).runbook
    for _ in range(3):
        made = factories.step(
            factories.run(runbook), row.node, state="uncertain", error=row.error, owner="x:1:a"
        )
        several.append(factories.dead_letter(stage.project, kind="step", ref=made.pk, run_id=made.run_id))
    counts = []
    for letters in (several[:1], several):
        with CaptureQueriesContext(connection) as asked:
            found = dead_letters.retry_refusals(letters)
        counts.append(len(asked))
        assert found.keys() == {letter.pk for letter in letters}
    assert counts[0] == counts[1] <= 4
