"""What the sweeper looks for it finds by an index over live rows alone: history and waiting runs cost it nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection

from handrail.config.wiring import DUTIES
from handrail.shared.statements.literal import Literal

STAY = frozenset(
    {
        "alerts_delivery",
        "audit_checkpoint",
        "incidents_incident",
        "outbox_outboxmessage",
        "runbooks_approval",
        "runbooks_escalation",
        "runbooks_run",
        "runbooks_runevent",
        "runbooks_steprun",
    }
)
"""Tables whose rows stay when their work is done, and in which runs wait."""


@pytest.mark.django_db
@pytest.mark.parametrize("duty", DUTIES, ids=lambda duty: str(duty.name))
def test_no_duty_reads_a_whole_table_that_grows(duty: Any) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole, whatever indexes there are")
    asked: list[tuple[str, Any]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT"):
            asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        duty.perform()
    whole = [f"{step}: {sql}" for sql, params in asked for step in _plan(sql, params) if _is_whole(step)]
    assert not whole


def _plan(sql: str, params: Any) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return [str(row[3]) for row in cursor.fetchall()]


def _is_whole(step: str) -> bool:
    """Whether a step of a plan reads all rows of a table that grows; an index over a part of it is no whole."""
    found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
    return found is not None and found[1] in STAY and found[2] not in _partial_indexes()


def _partial_indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'")
        return {str(row[0]) for row in cursor.fetchall()}


def test_only_words_stand_in_a_query() -> None:
    assert Literal("executing").as_sql(None, connection) == ("'executing'", [])  # type: ignore[arg-type]
    assert Literal("").as_sql(None, connection) == ("''", [])  # type: ignore[arg-type]
    for text in ("a'b", "A", "a b", "%s"):
        with pytest.raises(ValueError, match="may not stand"):
            Literal(text)
