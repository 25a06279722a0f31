"""How a remote command ends: the exit codes that scripts can use, and the words that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

import click

RUN_FAILED = 1
REFUSED = 2
NOT_SIGNED_IN = 3
NOT_ALLOWED = 4
UNREACHABLE = 5

EXIT_CODES: Mapping[int, str] = {
    0: "done",
    RUN_FAILED: "the run that was waited for failed or was cancelled",
    REFUSED: "wrong use, or Handrail refuses it as things are: the message says why",
    NOT_SIGNED_IN: "there is no token, or it is not valid (any more)",
    NOT_ALLOWED: "you may not do this, or there is no such thing for you",
    UNREACHABLE: "Handrail cannot be reached, does not answer in time, is too busy, or failed itself",
}


class RemoteError(click.ClickException):
    """One or a few lines on standard error, which tell what to do; and an exit code of :data:`EXIT_CODES`."""

    exit_code: ClassVar[int] = REFUSED

    def show(self, file: IO[Any] | None = None) -> None:
        """As every refusal of the command is shown."""
        click.echo(f"handrail: {self.message}", err=True, file=file)


class NotSignedIn(RemoteError):
    """There is no valid token."""

    exit_code: ClassVar[int] = NOT_SIGNED_IN


class NotAllowed(RemoteError):
    """It is not allowed, or not there."""

    exit_code: ClassVar[int] = NOT_ALLOWED


class NotKept(RemoteError):
    """It was there once; retention has removed it."""


class Unreachable(RemoteError):
    """Nobody answers, or nobody can now."""

    exit_code: ClassVar[int] = UNREACHABLE


def error_of(status: int) -> type[RemoteError]:
    """What a status of the API means here."""
    if status == 401:
        return NotSignedIn
    if status in (403, 404):
        return NotAllowed
    if status == 410:
        return NotKept
    return Unreachable if status == 429 or status >= 500 else RemoteError
