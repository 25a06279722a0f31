"""The reference of the command line is as the commands are."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_commands_say() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "generate_commands.py"))["page"]
    written = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    assert written == page(), "run: python docs/generate_commands.py"
