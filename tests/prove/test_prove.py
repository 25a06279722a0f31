"""The proof runs, and its judge sees what must not be; the proof itself is `make prove`."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from handrail.accounts.models import Project
from handrail.shared.failpoints import FAIL_POINTS
from runbooks.models import Run, RunEvent, StepAttempt
from tests import factories
from tests.prove.judge import Deaths, Verdict, completions, judge, stale_completions
from tests.prove.ledger import BEGIN, DID, END, Ledger
from tests.prove.players import POINTS
from tests.prove.proxy import COMMIT, Proxy
from tests.prove.scenarios import CHAIN, SCENARIOS

TOP = Path(__file__).parents[2]


def test_a_small_proof_is_clean(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.prove",
            "--scene",
            "killed",
            "--kills",
            "15",
            "--database",
            "sqlite",
            "--only-kill",
            "--report",
            tmp_path / "r.md",
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("kills=1")
    assert last.endswith(" lost=0 doubled=0 stuck=0")
    assert "SQLite, seed" in (tmp_path / "r.md").read_text()


@pytest.fixture
def ended(project: Project) -> Run:
    """A run that says of itself that it succeeded."""
    runbook = factories.runbook(project, CHAIN.slug)
    return factories.run(runbook, state="succeeded", is_open=False)


def verdict(folder: Path, *lines: tuple[str, str], died: Deaths | None = None) -> Verdict:
    book = Ledger(folder / "ledger")
    for word, key in lines:
        book.write(word, key)
    return judge(book, folder / "told", died or {})


def everything(run: Run) -> list[tuple[str, str]]:
    nodes = (*CHAIN.once, *CHAIN.repeatable)
    return [(word, f"{run.pk}:{node}:") for node in nodes for word in (BEGIN, DID, END)]


def test_an_effect_that_is_missing_is_lost(ended: Run, tmp_path: Path) -> None:
    found = verdict(tmp_path, *(line for line in everything(ended) if ":two:" not in line[1]))
    assert f"chain/two of run {ended.pk} never happened" in found.lost


def test_an_effect_that_happened_twice_is_doubled(ended: Run, tmp_path: Path) -> None:
    lines = everything(ended)
    found = verdict(tmp_path, *lines, *lines)
    assert [sentence.split(" of ")[0] for sentence in found.doubled] == [
        "chain/one",
        "chain/three",
        "chain/four",
    ]


def test_a_run_that_goes_on_for_ever_is_stuck(ended: Run, tmp_path: Path) -> None:
    Run.objects.update(is_open=True, state="running")
    [stuck] = verdict(tmp_path).stuck
    assert stuck.startswith(f"run {ended.pk} (chain) is running: ")


def test_a_run_that_was_promised_and_is_not_there_is_lost(db: None, tmp_path: Path) -> None:
    (tmp_path / "told").write_text("01a2\n")
    assert verdict(tmp_path).lost == [
        "run 01a2 was started, and is not there",
        "the message about run 01a2 never left",
    ]


def test_a_history_that_says_something_else_is_noticed(ended: Run, tmp_path: Path) -> None:
    found = verdict(tmp_path, *everything(ended))
    assert f"the history of run {ended.pk} ends pending, its row says succeeded" in found.lost


def test_a_call_without_an_intent_of_its_own_is_noticed(ended: Run, tmp_path: Path) -> None:
    key = f"{ended.pk}:one:"
    found = verdict(tmp_path, (BEGIN, key), (END, key))
    assert f"{key} was begun 1 times, and recorded 0 times" in found.lost


def test_a_run_of_which_the_trail_knows_nothing_is_noticed(ended: Run, tmp_path: Path) -> None:
    found = verdict(tmp_path, *everything(ended))
    assert f"the trail has run.finished of {ended.pk} 0 times" in found.lost


def test_an_unrefused_completion_of_somebody_who_was_stopped_is_noticed(ended: Run, tmp_path: Path) -> None:
    step = factories.step(ended, "one")
    StepAttempt.objects.create(
        step=step, fence=1, number=1, worker="here:77:abc", started_at=step.run.created_at, outcome="lost"
    )
    (tmp_path / "stopped").write_text("77\teffect.after\n78\tclaim.after_commit\n")
    found = Verdict()
    stale_completions(tmp_path / "stopped", {77}, found)
    assert found.is_clean, "whoever was killed can say nothing"
    stale_completions(tmp_path / "stopped", set(), found)
    assert found.lost == ["what the stopped here:77:abc said of its step was not refused"]


@pytest.mark.parametrize(
    ("way", "seen", "answered"), [("before", 0, b""), ("between", 1, b""), ("after", 1, b"")]
)
def test_the_proxy_cuts_where_it_says(tmp_path: Path, way: str, seen: int, answered: bytes) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    class Dice(random.Random):
        def random(self) -> float:
            return 0.0

        def choice(self, _ways: object) -> str:  # type: ignore[override]
            return way

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            arrived.put_nowait(data)
            writer.write(b"done")
        writer.close()

    async def play() -> tuple[bytes, bytes]:
        behind = await asyncio.start_server(server, "127.0.0.1", 0)
        proxy = Proxy(behind.sockets[0].getsockname()[1], tmp_path, Dice())
        front = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", front.sockets[0].getsockname()[1])
        writer.write(COMMIT)
        calm = await reader.read(100)
        (tmp_path / "cutting").touch()
        writer.write(COMMIT)
        cut = await reader.read(100)
        writer.close()
        for _ in range(1 + seen):
            await arrived.get()
        behind.close()
        front.close()
        return calm, cut

    assert asyncio.run(play()) == (b"done", answered)
    assert arrived.empty()
    assert (tmp_path / "cuts").read_text() == f"{way}\n"


def history(*told: tuple[str, str]) -> list[RunEvent]:
    return [RunEvent(n=n, type=name, data={"key": key}) for n, (name, key) in enumerate(told, 1)]


def test_a_probe_may_succeed_once_for_each_doubt() -> None:
    doubt, answer = ("step.uncertain", "three"), ("step.succeeded", "three/probe")
    retried, done = ("step.started", "three"), ("step.succeeded", "three")
    twice_in_doubt = history(doubt, answer, retried, doubt, answer, done)
    assert all(n == 1 for _, n in completions(twice_in_doubt))
    assert ("three/probe", 2) in completions(history(doubt, answer, answer))
    assert ("three", 2) in completions(history(doubt, answer, done, doubt, done))


def test_two_at_once_are_doubled(db: None, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.mkdir()
    (path / "0000").write_text("begin\tk\t1\t1.0\nbegin\tk\t2\t2.0\nend\tk\t1\t3.0\nend\tk\t2\t4.0\n")
    assert judge(Ledger(path), tmp_path / "told", {}).doubled == [
        "k was executed by 1 and 2 at the same time"
    ]


def test_one_after_the_death_of_the_other_is_fine(db: None, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.mkdir()
    (path / "0000").write_text("begin\tk\t1\t1.0\nbegin\tk\t2\t2.0\nend\tk\t2\t4.0\n")
    assert judge(Ledger(path), tmp_path / "told", {1: [1.5]}).doubled == []


def test_whoever_gets_the_id_of_a_dead_process_has_not_begun_what_that_one_did(
    db: None, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"
    path.mkdir()
    (path / "0000").write_text("begin\tk\t1\t1.0\nbegin\tk\t2\t2.0\nend\tk\t2\t4.0\nend\tk\t1\t9.0\n")
    found = judge(Ledger(path), tmp_path / "told", {1: [0.5, 1.5, 8.0], 2: [0.1]})
    assert found.doubled == []
    assert judge(Ledger(path), tmp_path / "told", {1: [0.5, 2.5]}).doubled != []


def test_every_scenario_says_what_it_expects() -> None:
    assert all(scenario.once for scenario in SCENARIOS)


def test_every_fail_point_is_somebodys() -> None:
    assert {point for points in POINTS.values() for point in points} == set(FAIL_POINTS)
