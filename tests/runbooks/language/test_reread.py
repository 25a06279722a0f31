"""Reading again what was accepted before gives the same definition."""

from __future__ import annotations

from pathlib import Path

import handrail.demo
from runbooks.language import parse, reread
from runbooks.steps.registry import specs

SAMPLE = (Path(handrail.demo.__file__).parent / "runbooks" / "high-error-rate.yaml").read_text()


def test_rereading_an_accepted_text_gives_the_very_definition() -> None:
    actions = specs()
    assert reread(SAMPLE, actions=actions) == parse(SAMPLE, actions=actions).runbook


def test_a_text_whose_action_is_gone_is_not_reread() -> None:
    actions = {name: spec for name, spec in specs().items() if name != "http.request"}
    assert reread(SAMPLE, actions=actions) is None


def test_what_is_no_mapping_is_not_reread() -> None:
    assert reread("[1, 2]", actions=specs()) is None
