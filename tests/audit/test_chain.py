"""Canonical JSON and links: one way to write, and no way to change unseen."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.audit.chain import GENESIS, canonical_json, link, moment, run_event
from handrail.shared.jsonvalue import storable

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(documents)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert canonical_json(reversed_keys(value)) == canonical_json(value)


@given(documents)
def test_what_a_database_gives_back_is_written_the_same(value: Any) -> None:
    stored = storable(value)
    assert canonical_json(json.loads(json.dumps(stored))) == canonical_json(stored)


@given(documents)
def test_what_is_written_is_ascii_and_is_written_the_same_again(value: Any) -> None:
    written = canonical_json(value)
    assert written.isascii()
    assert canonical_json(json.loads(written)) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        (5.0, "5"),
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (1e308, "1" + "0" * 308),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        ("é", '"\\u00e9"'),
        ("😀", '"\\ud83d\\ude00"'),
    ],
)
def test_the_rules_that_other_languages_must_know(value: Any, written: str) -> None:
    assert canonical_json(value) == written.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"value": value})


@pytest.mark.parametrize("value", [object(), {1: "a"}, datetime.now(UTC), b"bytes", {"set"}])
def test_what_json_has_not_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json([value])


def test_a_link_is_sha256_over_the_previous_hash_and_the_entry() -> None:
    expected = hashlib.sha256(("0" * 64 + '{"a":1}').encode()).hexdigest()
    assert link(GENESIS, {"a": 1}) == expected


@given(st.dictionaries(st.text(), scalars), st.dictionaries(st.text(), scalars))
def test_different_entries_have_different_links(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (link(GENESIS, one) == link(GENESIS, other)) is same


def test_moments_are_utc_to_the_microsecond() -> None:
    at = datetime(2026, 11, 22, 18, 8, 19, 123456, tzinfo=timezone(timedelta(hours=1)))
    assert moment(at) == "2026-11-22T17:08:19.123456Z"
    assert run_event("r", 1, "t", {}, at)["at"] == "2026-11-22T17:08:19.123456Z"


@given(st.text(alphabet=st.characters()))
def test_storable_text_is_what_both_databases_keep(text: str) -> None:
    kept = storable(text + "\x00\ud800")
    assert isinstance(kept, str)
    kept.encode("utf-8")
    assert "\x00" not in kept
