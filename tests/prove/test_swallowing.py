"""The proof goes on after what its troubles do to the database, and after nothing else unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
)

from runbooks.execution.process import Ending
from tests.prove.judge import judge
from tests.prove.ledger import Ledger
from tests.prove.players import Arena, swallow
from tests.prove.report import CLEAN, Found, last_line
from tests.prove.scenarios import CHAIN
from tests.prove.swallowing import belongs, note, unexpected
from tests.prove.troubles import BrokenTrail, FullDisk, NoTrouble


@pytest.mark.parametrize(
    "error",
    [OperationalError("database is locked"), InterfaceError("the connection is closed"), OSError("28")],
)
def test_a_database_that_is_away_is_no_news(error: Exception) -> None:
    assert belongs(error, NoTrouble.words)


@pytest.mark.parametrize("kind", [ProgrammingError, IntegrityError, DataError, DatabaseError])
def test_any_other_error_is_unless_it_says_what_the_trouble_says(kind: type[Exception]) -> None:
    assert not belongs(kind("it is wrong"), BrokenTrail.words)
    assert not belongs(kind("the trail is broken"), FullDisk.words)
    assert belongs(kind("the trail is broken"), BrokenTrail.words)
    assert belongs(kind("database or disk is full"), FullDisk.words)


def fail() -> None:
    raise ProgrammingError('relation "no" does not exist\nLINE 1: SELECT')


def test_what_nobody_expected_is_told_once_with_its_place_and_how_often(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        try:
            fail()
        except ProgrammingError as error:
            note(tmp_path / "unexpected", "sweeper", error)
    [sentence] = unexpected(tmp_path / "unexpected")
    assert sentence.startswith(
        'the sweeper met ProgrammingError: relation "no" does not exist at test_swallowing.py:'
    )
    assert sentence.endswith(" (2 times)")
    assert "LINE 1" in capsys.readouterr().err
    assert unexpected(tmp_path / "nothing") == []


def test_a_player_goes_on_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = Arena(Ending(), Ending(), tmp_path, 1)
    closed: list[bool] = []
    monkeypatch.setattr(connection, "close", lambda: closed.append(True))
    swallow(arena, "worker", OperationalError("away"))
    assert unexpected(arena.unexpected) == []
    swallow(arena, "worker", IntegrityError("NOT NULL constraint failed"))
    assert unexpected(arena.unexpected) == ["the worker met IntegrityError: NOT NULL constraint failed"]
    assert closed == [True, True]


def test_the_judge_counts_it_and_the_report_is_not_clean(db: None, tmp_path: Path) -> None:
    verdict = judge(Ledger(tmp_path / "ledger"), tmp_path / "told", {}, unexpected=["the worker met it"])
    assert not verdict.is_clean
    numbers = dict.fromkeys(
        ("seed", "runs", "effects", "seconds", "slowest", "kills", "outside", "stopped", "refused"), 0
    )
    lists: dict[str, list[str]] = {"lost": [], "doubled": [], "stuck": []}
    told = {"scene": "killed", "title": CHAIN.slug, "database": "SQLite", "points": {}, "counts": {}}
    clean = Found(**numbers, **lists, **told)  # type: ignore[arg-type]
    found = Found(**numbers, **lists, **told, unexpected=verdict.unexpected)  # type: ignore[arg-type]
    assert last_line([clean]).endswith(CLEAN)
    assert last_line([clean, found]) == f"kills=0{CLEAN} unexpected=1"
    assert found.sentences == ["the worker met it"]
