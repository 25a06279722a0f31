"""The kinds that hold other steps, driven by a worker in this process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from handrail.shared.clock import database_now
from runbooks import queries
from runbooks.execution import recover
from runbooks.execution.effect import Ended, perform
from runbooks.language.definition import Json
from runbooks.models import StepRun
from runbooks.steps.base import Failure, Success
from tests.runbooks.execution.stage import HEARTS, Scripted, Stage, a_driver, claim_step, complete, states

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_switch_does_one_case(stage: Stage) -> None:
    steps = """
- id: which
  kind: switch
  cases:
    - {when: inputs.n > 3, steps: [{id: big, uses: noop}]}
    - {when: inputs.n > 1, steps: [{id: small, uses: noop}, {id: more, uses: noop}]}
  default: [{id: none, uses: noop}]
- {id: after, uses: noop}
"""
    run = stage.start(stage.publish(steps, rest="inputs: {n: {type: integer}}"), n=2)
    assert stage.drive(run) == 3
    assert run.state == "succeeded"
    assert states(run) == {
        "which": "succeeded", "big": "skipped", "small": "succeeded", "more": "succeeded", "none": "skipped",
        "after": "succeeded",
    }  # fmt: skip
    assert StepRun.objects.get(run=run, node="which").reason == "Case 2: `inputs.n > 1` is true: 2 > 1."


LOOP = """
- id: each
  kind: for_each
  items: inputs.hosts
  as: host
  concurrency: {concurrency}
  on_item_failure: continue
  steps:
    - {{id: act, uses: test.call, idempotent: true, with: {{to: "${{{{ host }}}}"}}}}
    - {{id: note, kind: set, values: {{said: "${{{{ steps.act.outputs.said.to }}}}"}}}}
- id: sum
  kind: set
  values: {{all: "${{{{ steps.each.outputs.map(one, one.outputs.note.said) }}}}"}}
"""
HOSTS = "inputs: {hosts: {type: array}}"


def test_a_loop_does_every_item_in_order_with_a_key_of_its_own(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(LOOP.format(concurrency=1), rest=HOSTS), hosts=["p", "q", "r"])
    assert stage.drive(run) == 3
    assert run.state == "succeeded"
    assert [(inputs["to"], key) for _, inputs, key in calls.calls] == [
        (host, f"{run.pk}:act:{n}") for n, host in enumerate("pqr")
    ]
    assert StepRun.objects.get(run=run, node="sum").outputs == {"all": ["p", "q", "r"]}
    items = StepRun.objects.filter(run=run, node="each").order_by("iteration")
    assert list(items.values_list("iteration", "state")) == [
        ("", "succeeded"), ("0", "succeeded"), ("1", "succeeded"), ("2", "succeeded"),
    ]  # fmt: skip


def test_a_worker_lost_in_the_middle_of_a_loop_has_only_its_own_item_done_again(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = stage.start(stage.publish(LOOP.format(concurrency=2), rest=HOSTS), hosts=["p", "q", "r", "s"])
    first, lost = StepRun.objects.filter(run=run, node="act").order_by("iteration")
    dead = a_driver("default")
    work = claim_step(lost.pk, dead.me)
    assert work is not None
    perform(work, HEARTS[-1])
    stage.driver.drive(first.pk)
    assert sorted(str(inputs["to"]) for _, inputs, _ in calls.calls) == ["p", "q", "r", "s"]
    StepRun.objects.filter(pk=lost.pk).update(lease_until=database_now() - timedelta(seconds=1))
    assert recover.recover_expired() == 1
    stage.drive(run)
    assert run.state == "succeeded"
    assert sorted(str(inputs["to"]) for _, inputs, _ in calls.calls) == ["p", "q", "q", "r", "s"]
    assert complete(work, Ended(Success({})), dead.me) is None


def test_two_hundred_items_are_read_in_few_queries(
    stage: Stage, calls: type[Scripted], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    calls.script = {"act": [Success({}), Failure("broken", "It broke.")]}
    hosts: Json = [{"name": f"host-{n}"} for n in range(200)]
    alone = LOOP.partition("- id: sum")[0].replace("steps.act.outputs.said.to", "host.name")
    run = stage.start(stage.publish(alone.format(concurrency=50), rest=HOSTS), hosts=hosts)
    stage.drive(run)
    assert run.state == "succeeded"
    with django_assert_max_num_queries(6):
        views = {view.node: view for view in queries.every_view(queries.steps_of(run))}
    assert views["act"].tally == "199 of 200, 1 failed"
    (told,) = views["each"].telling
    assert told.node == f"each[{told.item.removeprefix('host-')}]"
    assert len(views) == 3 + 200 * 2 + 199
