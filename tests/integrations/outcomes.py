"""Telling outcomes apart."""

from __future__ import annotations

from runbooks.steps.base import Failure, Outcome, Success


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def success(outcome: Outcome) -> Success:
    assert isinstance(outcome, Success), outcome
    return outcome
