"""A worker dies by SIGKILL in the middle of a step; a broker is gone for the whole run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from runbooks import runs
from runbooks.models import Run, StepAttempt, StepRun, Worker
from tests import factories
from tests.runbooks.execution.real_processes import NO_BROKER, ended, kill_owner, processes, step_in, until
from tests.runbooks.execution.stage import Stage, states

pytestmark = [pytest.mark.flow, pytest.mark.django_db(transaction=True)]


@dataclass
class Target:
    """A production that hangs on its first request until it is released."""

    keys: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Response:
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        self.reached.set()
        if len(self.keys) == 1:
            self.released.wait(60)
        return Response("{}", content_type="application/json")


@pytest.fixture
def target(project: Project) -> Iterator[Target]:
    made = Target()
    httpserver = HTTPServer(threaded=True)
    httpserver.start()
    httpserver.expect_request("/weight").respond_with_handler(made.answer)
    factories.connection(
        project,
        "traffic",
        base_url=httpserver.url_for("").rstrip("/"),
        allowed_methods=["GET", "PUT", "POST"],
        allowed_networks=["127.0.0.0/8", "::1/128"],
    )
    yield made
    made.released.set()
    httpserver.stop()


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person(roles={project: "admin"})))


def a_run(stage: Stage, *, idempotent: bool) -> Run:
    promise = "true" if idempotent else "false"
    steps = f"""
- id: shift
  uses: http.request
  idempotent: {promise}
  with: {{connection: traffic, method: POST, path: /weight, json: {{weight: 0}}}}
- {{id: after, uses: noop}}
"""
    return stage.start(stage.publish(steps))


def test_an_idempotent_step_is_done_again_with_the_same_key(
    stage: Stage, target: Target, tmp_path: Path
) -> None:
    with processes(tmp_path) as installation:
        installation.start("sweeper")
        installation.start_worker()
        run = a_run(stage, idempotent=True)
        assert target.reached.wait(60), installation.output()
        kill_owner(step_in(run, "shift", "executing"))
        assert ended(run).state == "succeeded"
    assert target.keys == [f"{run.pk}:shift:"] * 2
    outcomes = StepAttempt.objects.filter(step__run=run, step__node="shift").order_by("fence")
    assert list(outcomes.values_list("outcome", flat=True)) == ["lost", "succeeded"]


def test_a_step_that_may_not_be_repeated_waits_for_a_human_and_is_never_sent_twice(
    stage: Stage, target: Target, tmp_path: Path
) -> None:
    with processes(tmp_path) as installation:
        installation.start("sweeper")
        installation.start_worker()
        run = a_run(stage, idempotent=False)
        assert target.reached.wait(60), installation.output()
        kill_owner(step_in(run, "shift", "executing"))
        step = step_in(run, "shift", "uncertain")
        runs.decide_step(step.pk, actor=stage.actor, choice="done", reason="The weight is 0: I looked.")
        assert ended(run).state == "succeeded"
    assert len(target.keys) == 1


def test_a_broker_that_is_gone_for_the_whole_run_only_delays_it(stage: Stage, tmp_path: Path) -> None:
    branches = "\n".join(f"    - {{id: b{n}, uses: noop}}" for n in range(4))
    steps = f"""
- {{id: pause, kind: wait, for: 0.5s}}
- id: both
  kind: parallel
  steps:
{branches}
- {{id: after, uses: noop}}
"""
    with processes(tmp_path, broker=NO_BROKER) as installation:
        installation.start("sweeper")
        installation.start_worker()
        run = stage.start(stage.publish(steps))
        assert ended(run).state == "succeeded", installation.output()
    assert set(states(run).values()) == {"succeeded"}


def test_a_worker_that_is_told_to_end_finishes_its_step_and_leaves_the_rest(
    stage: Stage, target: Target, tmp_path: Path
) -> None:
    with processes(tmp_path) as installation:
        process = installation.start_worker()
        run = a_run(stage, idempotent=False)
        assert target.reached.wait(60), installation.output()
        process.terminate()
        target.released.set()
        process.wait(timeout=30)
        assert step_in(run, "shift", "succeeded")
        after = StepRun.objects.filter(run=run, node="after").first()
        assert after is None or after.state in ("ready", "succeeded")
        installation.start("sweeper")
        installation.start_worker()
        assert ended(run).state == "succeeded"


def test_workers_say_that_they_live(stage: Stage, tmp_path: Path) -> None:
    with processes(tmp_path) as installation:
        installation.start("sweeper")
        installation.start_worker()
        until(lambda: Worker.objects.filter(kind="sweeper").exists(), what="the sweeper's row")
    assert not Worker.objects.filter(stopped_at=None, kind="sweeper").exists()
