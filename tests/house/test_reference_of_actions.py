"""The reference of the actions says what the actions are."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_generator_writes() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "generate_actions.py"))["page"]
    written = (ROOT / "docs" / "reference" / "actions.md").read_text(encoding="utf-8")
    assert written == page(), "run: python docs/generate_actions.py"
