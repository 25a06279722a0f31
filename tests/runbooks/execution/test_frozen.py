"""A worker is stopped (SIGSTOP) past its lease and goes on (SIGCONT): it causes no effect, or none that counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, connections

from handrail.audit.models import AuditEntry
from handrail.shared.failpoints import WATCHERS, FailPoint
from runbooks.execution import recover
from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me
from runbooks.models import Run, StepRun
from runbooks.steps.base import ActionContext, Outcome, Success
from tests.runbooks.execution.stage import Scripted, Stage, ready_steps, states, until

pytestmark = [pytest.mark.flow, pytest.mark.django_db(transaction=True)]

ONE_STEP = "- {id: a, uses: test.call}\n- {id: b, uses: noop}"


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LEASE_SECONDS", 1.0)


@pytest.fixture
def effects(tmp_path: Path, calls: type[Scripted]) -> Path:
    """A file in which each effect leaves the id of its process."""
    path = tmp_path / "effects"

    def happen(_context: ActionContext) -> Outcome:
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return Success({})

    calls.script["a"] = [happen, happen]
    return path


@contextmanager
def frozen_at(point: FailPoint, run: Run) -> Iterator[int]:
    """A worker in a process of its own that stops itself at the point; its id. Later it is gone, in any case."""
    step_id = ready_steps(run)[0]
    StepRun.objects.filter(pk=step_id).update(hinted_at=None)
    connections.close_all()
    pid = os.fork()
    if not pid:
        _work_until(point)
    try:
        stopped, status = os.waitpid(pid, os.WUNTRACED)
        assert (stopped, os.WIFSTOPPED(status)) == (pid, True)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _work_until(point: FailPoint) -> None:
    status = 1
    try:
        WATCHERS.append(lambda here: os.kill(os.getpid(), signal.SIGSTOP) if here == point else None)
        me = Me.in_pools("default")
        me.say_alive()
        driver = Driver(me, Heart(me))
        driver.go_on(driver.next_overdue())
        connection.close()
        status = 0
    finally:
        os._exit(status)


def _let_go_on(pid: int) -> None:
    """It goes on, and comes to its end by itself."""
    os.kill(pid, signal.SIGCONT)
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_status == 0


def test_before_the_gate_it_causes_no_effect(stage: Stage, effects: Path) -> None:
    run = stage.start(stage.publish(ONE_STEP))
    with frozen_at("poll.after_claim", run) as pid:
        until(lambda: recover.recover_expired() == 1)
        stage.drive(run)
        assert run.state == "succeeded"
        _let_go_on(pid)
    assert effects.read_text().split() == [str(os.getpid())], "only the one who took over acted"


def test_after_its_effect_its_completion_is_refused_and_audited(stage: Stage, effects: Path) -> None:
    run = stage.start(stage.publish(ONE_STEP))
    with frozen_at("effect.after", run) as pid:
        until(lambda: recover.recover_expired() == 1)
        assert states(run)["a"] == "uncertain"
        _let_go_on(pid)
        assert effects.read_text().split() == [str(pid)]
    assert states(run)["a"] == "uncertain", "what it said was not believed"
    entry = AuditEntry.objects.get(action="step.completion_refused")
    assert entry.data == {"step": "a", "fence": 1, "worker": entry.data["worker"], "outcome": "succeeded"}
    assert f":{pid}:" in entry.data["worker"]
