"""The errors that every layer understands; the message tells the person who caused it what to do."""

from __future__ import annotations


class HandrailError(Exception):
    """Something that Handrail refuses. ``code`` is stable, for programs; ``status`` is its HTTP status."""

    code = "error"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, **details: object) -> None:
        """``details`` are JSON data that help a program to react; no secrets, no internals."""
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class Invalid(HandrailError):
    """What was given is not acceptable. ``details['problems']`` may list the places."""

    code = "invalid"
    status = 422


class Forbidden(HandrailError):
    """The actor may see this, but may not do it."""

    code = "forbidden"
    status = 403


class NotFound(HandrailError):
    """It does not exist, or the actor may not know that it does."""

    code = "not_found"
    status = 404


class Conflict(HandrailError):
    """The state has moved on: somebody was faster, or the act no longer applies."""

    code = "conflict"
    status = 409


class TooMany(HandrailError):
    """A limit is reached. ``details['retry_after']`` is in seconds where it is known."""

    code = "too_many"
    status = 429
