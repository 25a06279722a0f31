"""How the tests of the language ask for the problems of a text."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[str], list[str]]
"""The problems of a text, as lines."""

HEAD = "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: a, title: A}\n"
"""How a document begins whose body is tested."""
