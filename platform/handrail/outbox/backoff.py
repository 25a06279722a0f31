"""How long a failed message waits, and when it is given up. Pure."""

from __future__ import annotations

MAX_ATTEMPTS = 20
"""With the delays below: some 70 minutes of a vendor's outage before a message is a dead letter."""

LONGEST_SECONDS = 300.0
FIRST_SECONDS = 2.0


def delay_seconds(attempts: int) -> float | None:
    """Seconds before the next attempt after ``attempts`` (1 or more) failed ones; None means give up."""
    if attempts >= MAX_ATTEMPTS:
        return None
    exponent = min(max(attempts, 1) - 1, 16)
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**exponent)
