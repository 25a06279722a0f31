"""Regular expressions of inputs: RE2 syntax on a linear engine, so that no pattern can stall a process.

It is the engine of ``matches()`` in expressions: one dialect everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import cel


class _Program(Protocol):
    def execute(self, context: dict[str, object]) -> object: ...


@lru_cache(maxsize=1)
def _matcher() -> _Program:
    program: _Program = cel.compile("text.matches(pattern)")
    return program


def pattern_error(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    try:
        _matcher().execute({"text": "", "pattern": pattern})
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).split("\n")]
        words = next((line.removeprefix("error: ") for line in lines if line.startswith("error:")), lines[-1])
        return words.split(". Check ")[0].rstrip(".")
    return None


def fully_matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches a valid pattern."""
    return bool(_matcher().execute({"text": text, "pattern": rf"\A(?:{pattern})\z"}))
