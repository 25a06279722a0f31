"""Postmortem drafts: composed from the timeline, edited by people, exported as Markdown and HTML."""

from __future__ import annotations

from handrail.incidents.postmortems.actions import (
    discard_edit,
    edit_section,
    generate,
    has_newer_facts,
    newer_facts,
    set_status,
    starting_text,
)
from handrail.incidents.postmortems.drafting import FINISHED
from handrail.incidents.postmortems.markdown import evidence, html, markdown, section_markdown

__all__ = [
    "FINISHED",
    "discard_edit",
    "edit_section",
    "evidence",
    "generate",
    "has_newer_facts",
    "html",
    "markdown",
    "newer_facts",
    "section_markdown",
    "set_status",
    "starting_text",
]
