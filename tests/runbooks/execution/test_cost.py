"""What a transition costs: the fast path is one commit a step, with a handful of statements."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runbooks.models import Run
from tests.runbooks.execution.stage import Stage, ready_steps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("patient_clock")]


@dataclass(frozen=True, slots=True)
class Cost:
    """What driving a run has cost. A statement outside of a transaction is a commit of its own, if it writes."""

    statements: int
    commits: int

    @classmethod
    def of(cls, captured: CaptureQueriesContext) -> Cost:
        statements = commits = 0
        inside = False
        for query in captured.captured_queries:
            text = query["sql"]
            if text.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
                inside = text.startswith("BEGIN")
                commits += text.startswith("COMMIT")
            elif not text.startswith(("SAVEPOINT", "RELEASE")):
                statements += 1
                commits += not inside and text.startswith("WITH")
        return cls(statements, commits)


def drive(stage: Stage, run: Run) -> Cost:
    with CaptureQueriesContext(connection) as captured:
        stage.driver.drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED
    return Cost.of(captured)


def chain(stage: Stage, length: int) -> Cost:
    steps = "\n".join(f"- {{id: s{n}, uses: noop}}" for n in range(length))
    return drive(stage, stage.start(stage.publish(steps, slug=f"chain-{length}")))


def fan(stage: Stage, width: int) -> Cost:
    branches = "\n".join(f"    - {{id: s{number}, uses: noop}}" for number in range(width))
    steps = f"- id: all\n  kind: parallel\n  steps:\n{branches}\n- {{id: join, uses: noop}}"
    return drive(stage, stage.start(stage.publish(steps, slug=f"fan-{width}")))


def test_a_step_of_a_chain_costs_one_commit_and_few_statements(stage: Stage) -> None:
    short, long = chain(stage, 3), chain(stage, 13)
    assert (long.commits - short.commits) / 10 == 1
    # The run, the result, its attempt, the next step, the history. On PostgreSQL they are a single statement, which
    # is its own transaction: one round trip.
    per_step = {"sqlite": 5, "postgresql": 1}[connection.vendor]
    assert (long.statements - short.statements) / 10 == per_step


def test_a_branch_costs_one_commit(stage: Stage) -> None:
    short, long = fan(stage, 2), fan(stage, 12)
    assert (long.commits - short.commits) / 10 == 1
