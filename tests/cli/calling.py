"""Calls the command in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from handrail.cli import cli


def call(*arguments: str, **how: str) -> Result:
    """What `handrail ARGUMENTS...` prints, and its exit status."""
    return CliRunner().invoke(cli, list(arguments), **how)  # type: ignore[arg-type]
