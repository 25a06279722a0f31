"""What a sender says when a message could not be sent: again later, or never."""

from __future__ import annotations


class Retry(Exception):
    """It may work later. ``after_seconds`` None leaves the delay to the backoff.

    ``counts`` False is for what is nobody's failure, such as a rate limit: it never makes a dead letter.
    ``holds_lane`` keeps the whole destination back for as long (a rate limit, an outage), not only this message.
    """

    def __init__(
        self,
        reason: str,
        after_seconds: float | None = None,
        *,
        counts: bool = True,
        holds_lane: bool = False,
    ) -> None:
        """``reason`` is kept with the message, for people; no secrets."""
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds
        self.counts = counts
        self.holds_lane = holds_lane


class Undeliverable(Exception):
    """It will never work as it is: a dead letter. The message says what to do."""

    def __init__(self, reason: str) -> None:
        """``reason`` is kept with the message, for people; no secrets."""
        super().__init__(reason)
        self.reason = reason
