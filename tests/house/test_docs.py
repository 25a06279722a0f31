"""The documentation hangs together: every page can be found from the index, and no link leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
PAGES = sorted([*TOP.glob("*.md"), *DOCS.rglob("*.md"), *(TOP / "deploy").rglob("*.md")])
LARGEST_PICTURE = 250_000
LARGEST_OF_ALL = 3_000_000


def named(page: Path) -> str:
    return page.relative_to(TOP).as_posix()


def tokens(page: Path) -> Iterator[Token]:
    for block in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield block
        yield from block.children or ()


def targets(page: Path) -> Iterator[tuple[Path, str]]:
    """The files of this repository that the page links to or shows, each with its anchor."""
    for token in tokens(page):
        address = str(token.attrGet("href") or token.attrGet("src") or "")
        if not address or re.match(r"[a-z]+:", address):
            continue
        path, _, anchor = unquote(address).partition("#")
        yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """The anchors that forges make of headings."""
    lines = page.read_text().splitlines()
    headings = (line.lstrip("# ") for line in lines if re.match("#{1,6} ", line))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in targets(page):
        assert target.exists(), f"{named(page)} links to {target}, which does not exist"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{named(target)} has no heading for #{anchor}"


def test_every_page_is_reachable_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [DOCS / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [target for target, _ in targets(page)]
    lost = [named(page) for page in PAGES if page not in seen and DOCS in page.parents]
    assert not lost, f"link these from docs/README.md: {lost}"


def test_the_readme_leads_to_the_index_and_to_the_tutorial() -> None:
    linked = {target for target, _ in targets(TOP / "README.md")}
    assert {DOCS / "README.md", DOCS / "tutorials" / "first-incident.md"} <= linked


def test_the_screenshots_are_small_and_no_page_shows_one_that_the_script_does_not_take() -> None:
    pictures = list((DOCS / "screenshots").glob("*.png"))
    assert pictures
    assert max(picture.stat().st_size for picture in pictures) <= LARGEST_PICTURE
    assert sum(picture.stat().st_size for picture in pictures) <= LARGEST_OF_ALL
    script = (DOCS / "screenshots" / "take.py").read_text()
    assert [picture.name for picture in pictures if f'"{picture.stem}"' not in script] == []
