"""The simulation crashes everywhere, and its judge sees what must not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbooks.engine import outcomes
from runbooks.engine.transitions import StepStatus
from runbooks.steps.registry import specs
from tests.prove import cast
from tests.prove.__main__ import write_report
from tests.prove.actions import EffectOnce, Look
from tests.prove.cast import World
from tests.prove.samples import Sample, samples
from tests.prove.simulation import Judgement, execute, simulate
from tests.prove.simulation import judge as judge_one

S = StepStatus
KNOWN = {**specs(), "prove.effect": EffectOnce.spec, "prove.look": Look.spec}
SAMPLES = {sample.name: sample for sample in samples(KNOWN)}


def test_the_samples_are_those_of_the_demo_the_docs_the_flows_and_the_proof() -> None:
    assert {"chain", "fan", "back", "loop-undone", "people", "high-error-rate (file)"} <= set(SAMPLES)
    assert any(name.startswith("runbook-language") for name in SAMPLES)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "high-error-rate (file)"])
def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(name: str) -> None:
    judgement = simulate(SAMPLES[name])
    assert judgement.is_clean, [*judgement.lost, *judgement.doubled, *judgement.stuck][:5]
    assert judgement.executions > judgement.points > (10 if SAMPLES[name].has_its_turn else 5)


def test_two_crashes_in_one_run_lose_nothing_either() -> None:
    judgement = simulate(SAMPLES["asked"], pairs=True)
    assert judgement.is_clean
    assert judgement.executions > 100


def test_every_kind_of_boundary_is_passed() -> None:
    passed = {
        point for name in ("people", "timers", "chain", "paused") for point in execute(SAMPLES[name]).points
    }
    assert {"claim.after_commit", "gate.before_commit", "effect.before", "effect.after"} <= passed
    assert {
        "complete.before_commit",
        "answer.before_commit",
        "child.after_commit",
        "timer.before_commit",
        "admit.before_commit",
        "admit.after_commit",
        "steer.before_commit",
        "steer.after_commit",
    } <= passed


@pytest.mark.parametrize(
    ("name", "did", "told"),
    [
        ("paused", ["a", "b", "c", "report"], "run.paused"),
        ("left-out", ["last", "report"], "step.skipped"),
        ("undone", ["a", "a/compensate", "b", "b/compensate", "report"], "run.undoing"),
        ("undone-in-its-middle", ["a", "a/compensate", "busy", "busy/compensate", "report"], "run.undoing"),
        ("resumed", ["a", "after", "b", "b", "b/compensate", "mended", "report", "report"], "run.reopened"),
        ("handed-over", ["a"], "checklist.ticked"),
        ("never-begun", [], "run.held"),
    ],
)
def test_a_steered_run_does_what_the_person_wants(name: str, did: list[str], told: str) -> None:
    calm = execute(SAMPLES[name])
    assert sorted(calm.world.did.elements()) == did
    assert told in [event.type for event in calm.world.life.history]


def test_a_person_who_dies_after_an_act_does_not_repeat_it() -> None:
    calm = execute(SAMPLES["handed-over"])
    acts = calm.points.count("steer.after_commit")
    after = calm.points.index("steer.after_commit")
    found = execute(SAMPLES["handed-over"], crash=frozenset({after}))
    assert (acts, found.points.count("steer.after_commit")) == (4, 4)
    before = calm.points.index("steer.before_commit")
    again = execute(SAMPLES["handed-over"], crash=frozenset({before}))
    assert (again.points.count("steer.before_commit"), again.points.count("steer.after_commit")) == (5, 4)


def test_the_judge_sees_what_begins_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        World, "free", lambda world: [key for key in world.life.keys(S.READY) if not world.lease(key).until]
    )
    monkeypatch.setattr(World, "may_pass", lambda world: True)
    found = simulate(SAMPLES["pressed"])
    assert any("in a pause" in sentence for sentence in found.lost)


def test_the_judge_sees_an_undoing_that_is_due_and_never_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = execute(SAMPLES["undone"])
    found = execute(SAMPLES["undone"])
    del found.world.did["a/compensate"]
    judgement = Judgement("undone")
    judge_one(judgement, calm, found, "without a crash")
    assert judgement.lost == ["undone, without a crash: a/compensate never happened"]


def test_the_judge_sees_an_undoing_of_what_never_happened() -> None:
    calm = execute(SAMPLES["undone"])
    found = execute(SAMPLES["undone"])
    del found.world.did["a"]
    judgement = Judgement("undone")
    judge_one(judgement, calm, found, "without a crash")
    assert any(sentence.endswith("or never happened") for sentence in judgement.doubled)


def test_who_is_frozen_past_the_lease_is_not_believed() -> None:
    calm = execute(SAMPLES["slow"])
    found = execute(SAMPLES["slow"], freeze=calm.points.index("effect.after"))
    assert found.world.refused == 1


def test_the_judge_sees_a_step_that_is_repeated_though_it_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "is_repeatable", lambda _command: True)
    judgement = simulate(SAMPLES["once-only (file)"])
    assert any("happened 2 times" in sentence for sentence in judgement.doubled)


def test_the_judge_sees_a_run_that_nobody_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cast, "_take_back", lambda world, key: setattr(world.lease(key), "until", None))
    assert simulate(SAMPLES["once-only (file)"]).stuck


def test_the_judge_sees_another_end_than_the_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    sample: Sample = replace(SAMPLES["once-only (file)"], state="failed")
    assert simulate(sample).lost[0].endswith("ends succeeded without a crash, not failed")


def test_the_report_counts_the_boundaries(tmp_path: Path) -> None:
    row = {"name": "chain", "points": 29, "executions": 48, "lost": 0, "doubled": 0, "stuck": 0}
    write_report(tmp_path / "r.md", [], [{**row, "by_point": {"effect.before": 5}, "sentences": []}])
    text = (tmp_path / "r.md").read_text()
    assert "| chain | 29 | 48 | 0 | 0 | 0 |" in text
    assert "| effect.before | 5 |" in text
