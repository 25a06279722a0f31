"""When a failed attempt is tried again: a delay in seconds, or None."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.language.definition import Effect, Json, Retry

READ_AGAIN = Retry(max_attempts=3, initial_interval=1.0, backoff=2.0, max_interval=15.0)
"""Reading changes nothing, so a read step that says nothing else about it is tried three times."""

ONCE = Retry(max_attempts=1)
"""Everything else is tried once, unless its author says otherwise."""

LONGEST_WISH = 300.0
"""Seconds; a target that asks for more with its Retry-After is not waited for any longer."""

CRASHES_ALLOWED = 3
"""A step that made its worker die this often is parked: it is the step, not the worker."""


def policy_of(retry: Retry | None, effect: Effect) -> Retry:
    """The policy of a step: its own, or the default of its effect."""
    if retry is not None:
        return retry
    return READ_AGAIN if effect == Effect.READ else ONCE


def delay(policy: Retry, *, attempts: int, error: Mapping[str, Json], random: float) -> float | None:
    """Seconds until the next attempt, or None when there is none.

    ``attempts`` were made already. Of the error only ``code``, ``retryable`` and ``retry_after`` are read.
    ``random`` is from 0 to 1 and drawn by the caller, so that the same history gives the same answer.
    """
    if error.get("retryable") is not True or attempts >= policy.max_attempts:
        return None
    code = str(error.get("code", ""))
    if code in policy.not_on or (policy.only_on and code not in policy.only_on):
        return None
    exponent = min(attempts - 1, 64)
    longest = min(policy.initial_interval * policy.backoff**exponent, policy.max_interval)
    chosen = longest * _share(policy.jitter, random)
    wish = error.get("retry_after")
    if isinstance(wish, (int, float)) and not isinstance(wish, bool):
        return max(chosen, min(float(wish), LONGEST_WISH))
    return chosen


def _share(jitter: str, random: float) -> float:
    """How much of a pause is kept: all of it, a part that chance chooses, or half and such a part of the rest."""
    if jitter == "full":
        return random
    return (1 + random) / 2 if jitter == "equal" else 1.0
