"""Pools, draining and two engine schemas side by side, with real worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me
from runbooks.models import Run, StepAttempt, StepRun, Worker
from tests import factories
from tests.runbooks.execution.real_processes import Processes, ended, processes, step_in, until
from tests.runbooks.execution.stage import Stage

pytestmark = [pytest.mark.flow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person(roles={project: "admin"})))


@dataclass
class Slow:
    """A production that answers when it is told to."""

    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def answer(self, request: Request) -> Response:
        self.asked += 1
        self.reached.set()
        self.released.wait(60)
        return Response("{}", content_type="application/json")


@pytest.fixture
def slow(project: Project) -> Iterator[Slow]:
    made = Slow()
    httpserver = HTTPServer(threaded=True)
    httpserver.start()
    httpserver.expect_request("/weight").respond_with_handler(made.answer)
    factories.connection(
        project,
        "traffic",
        base_url=httpserver.url_for("").rstrip("/"),
        allowed_methods=["POST"],
        allowed_networks=["127.0.0.0/8", "::1/128"],
    )
    yield made
    made.released.set()
    httpserver.stop()


SLOW = """
- {id: shift, uses: http.request, with: {connection: traffic, method: POST, path: /weight}}
- {id: after, uses: noop}
"""


def pools_of(step: StepRun) -> set[str]:
    """The pools of the workers that had the step."""
    names = StepAttempt.objects.filter(step=step).values_list("worker", flat=True)
    return {pool for row in Worker.objects.filter(pk__in=names) for pool in row.pools}


def test_a_step_runs_only_where_its_pool_is(stage: Stage, tmp_path: Path) -> None:
    steps = "- {id: far, uses: noop, runner: {pool: edge}}\n- {id: near, uses: noop}"
    run = stage.start(stage.publish(steps))
    with processes(tmp_path) as installation:
        installation.start("sweeper")
        installation.start_worker()
        StepRun.objects.filter(run=run, node="far").update(ready_at="2026-01-01T00:00:00Z")
        client = Client()
        client.force_login(factories.person(roles={stage.project: "viewer"}))
        text = client.get(f"/runs/{run.pk}/").content.decode()
        assert "Waiting for a worker: no worker of the pool edge is alive" in text
        assert "handrail worker --pool edge" in text
        assert StepRun.objects.get(run=run, node="far").state == "ready"
        installation.start_worker("--pools", "edge,other")
        assert ended(run).state == "succeeded", installation.output()
    assert pools_of(StepRun.objects.get(run=run, node="far")) == {"edge", "other"}
    assert pools_of(StepRun.objects.get(run=run, node="near")) == {"default"}
    row = Worker.objects.filter(pools=["edge", "other"]).first()
    assert row is not None
    assert row.versions["handrail"]
    assert row.versions["schemas"] == [1]


def test_a_worker_that_drains_finishes_what_it_has_and_takes_nothing_new(
    stage: Stage, slow: Slow, tmp_path: Path
) -> None:
    run = stage.start(stage.publish(SLOW))
    with processes(tmp_path, environment={"HANDRAIL_STOP_GRACE_SECONDS": "50"}) as installation:
        process = installation.start_worker()
        assert slow.reached.wait(60), installation.output()
        process.terminate()
        owner = step_in(run, "shift", "executing").owner
        until(lambda: Worker.objects.get(pk=owner).draining_at, what="draining")
        later = stage.start(stage.publish("- {id: a, uses: noop}", slug="later"))
        slow.released.set()
        process.wait(timeout=60)
        assert Worker.objects.filter(stopped_at=None).count() == 0
    assert step_in(run, "shift", "succeeded").owner == owner
    assert StepRun.objects.get(run=run, node="after").state == "ready"
    assert StepRun.objects.get(run=later, node="a").state == "ready"


def test_no_beat_brings_back_a_process_that_said_that_it_stopped(settings: Settings) -> None:
    settings.LEASE_SECONDS = 0.03
    me, beating, going_on = Me.in_pools("default"), threading.Event(), threading.Event()
    beats: set[threading.Thread] = set()

    def slow_beat() -> None:
        beats.add(threading.current_thread())
        beating.set()
        going_on.wait(60)
        me.say_alive()

    me.say_alive()
    heart = Heart(me, also=slow_beat)
    heart.start()
    assert beating.wait(60)
    ending = threading.Thread(target=lambda: (Driver(me, heart).say_stopped(), connection.close()))
    ending.start()
    going_on.set()
    ending.join(60)
    assert not any(beat.is_alive() for beat in beats)
    assert Worker.objects.get(pk=me.id).stopped_at is not None


def test_past_the_grace_it_is_killed_and_a_step_that_must_not_be_repeated_is_a_doubt(
    stage: Stage, slow: Slow, tmp_path: Path
) -> None:
    run = stage.start(stage.publish(SLOW))
    with processes(tmp_path, environment={"HANDRAIL_STOP_GRACE_SECONDS": "1"}) as installation:
        installation.start("sweeper")
        process = installation.start_worker()
        assert slow.reached.wait(60), installation.output()
        process.terminate()
        process.wait(timeout=60)
        assert not Worker.objects.filter(stopped_at=None, kind="worker").exists(), installation.output()
        assert step_in(run, "shift", "uncertain").error["code"] == "worker_lost"
    assert slow.asked == 1


def knows(folder: Path, *schemas: int) -> dict[str, str]:
    """An environment whose processes understand these engine schemas."""
    folder.mkdir()
    patch = f"from runbooks.engine import events\nevents.SUPPORTED_SCHEMAS = {schemas!r}\n"
    (folder / "sitecustomize.py").write_text(patch)
    return {"PYTHONPATH": str(folder)}


def start_knowing(installation: Processes, folder: Path, *schemas: int) -> subprocess.Popen[bytes]:
    """A worker that understands these engine schemas."""
    before = dict(installation.environment)
    path = knows(folder, *schemas)["PYTHONPATH"]
    installation.environment["PYTHONPATH"] = os.pathsep.join([path, before["PYTHONPATH"]])
    try:
        return installation.start_worker()
    finally:
        installation.environment = before


def test_two_engine_schemas_live_side_by_side_and_each_worker_takes_what_it_knows(
    stage: Stage, tmp_path: Path
) -> None:
    runbook = stage.publish("- {id: a, uses: noop}\n- {id: b, uses: noop}\n- {id: c, uses: noop}")
    new, old = [stage.start(runbook) for _ in range(3)], []
    Run.objects.update(engine_schema=2)
    with processes(tmp_path) as installation:
        installation.start("sweeper")
        older = start_knowing(installation, tmp_path / "one", 1)
        only_one = set(Worker.objects.filter(kind="worker").values_list("pk", flat=True))
        # Behind three that it does not know, and more urgent than none of them.
        old = [stage.start(runbook) for _ in range(3)]
        for run in old:
            assert ended(run).state == "succeeded", installation.output()
        assert {run.state for run in Run.objects.filter(engine_schema=2)} == {"running"}
        assert not StepRun.objects.filter(run__in=new).exclude(state="ready").exists()
        start_knowing(installation, tmp_path / "two", 1, 2)
        for run in new:
            assert ended(run).state == "succeeded", installation.output()
        took = StepAttempt.objects.filter(step__run__in=new).values_list("worker", flat=True)
        only_one = set(
            Worker.objects.filter(versions__schemas=[1], kind="worker").values_list("pk", flat=True)
        )
        assert only_one
        assert not only_one & set(took)
        older.send_signal(signal.SIGTERM)
        older.wait(timeout=60)
        assert ended(stage.start(runbook)).state == "succeeded", installation.output()
