"""A postmortem as Markdown and as HTML: generated lines with links to their evidence, people's text as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import nh3
from markdown_it import MarkdownIt

from handrail.incidents.models import Postmortem, PostmortemSection, TimelineEvent
from handrail.incidents.postmortems.compose import PROSE
from handrail.incidents.postmortems.wording import quoted
from handrail.shared.links import event_url, incident_url

MAX_LINKS = 5
"""Links behind one line; more are counted."""


class StoredLine(TypedDict):
    """A line as it is stored: Markdown, the ids of the events behind it, whether it asks a person."""

    text: str
    events: list[str]
    prompt: bool


_renderer = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p",
    "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def markdown(postmortem: Postmortem) -> str:
    """The whole document, GitHub-flavoured; each generated line ends in links to the events that prove it."""
    incident = postmortem.incident
    places = evidence(postmortem)
    parts = [f"# Postmortem: {quoted(str(incident))} {quoted(incident.title)}"]
    parts.append(
        f"*{postmortem.get_status_display()}* · [{quoted(str(incident))}](<{incident_url(incident.pk)}>)"
    )
    for section in postmortem.sections.all():
        parts.append(f"## {quoted(section.title)}")
        parts.append(section_markdown(section, places) or "*Nothing was recorded.*")
    return "\n\n".join(parts) + "\n"


def section_markdown(section: PostmortemSection, places: Mapping[str, str] | None = None) -> str:
    """The body of one section: what people wrote, else the generated lines.

    ``places``: event id -> address, for the links; without it the lines stand alone.
    """
    if section.edited is not None:
        return section.edited.strip()
    return lines_markdown(section.lines, places or {}, prose=section.key in PROSE)


def lines_markdown(lines: Sequence[StoredLine], places: Mapping[str, str], *, prose: bool) -> str:
    """Generated lines as a list, or as one paragraph; prompts in italics at the end."""
    told = [f"{line['text']}{_links(line, places)}" for line in lines if not line.get("prompt")]
    asked = [f"*{line['text']}*" for line in lines if line.get("prompt")]
    if prose:
        return "\n\n".join(part for part in [" ".join(told), *asked] if part)
    return "\n".join(f"- {line}" for line in [*told, *asked])


def html(text: str) -> str:
    """Markdown rendered and sanitised: no HTML of its own, no scripts, only http(s) and mailto links."""
    rendered = _renderer.render(text)
    return nh3.clean(
        rendered,
        tags=_TAGS,
        attributes={"a": {"href", "title"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def evidence(postmortem: Postmortem) -> dict[str, str]:
    """The address of each event that the generated lines lean on: on the incident's page, ``#event-<n>``."""
    wanted = {
        identifier
        for section in postmortem.sections.all()
        for line in section.lines
        for identifier in line["events"]
    }
    places = TimelineEvent.objects.filter(incident=postmortem.incident_id, pk__in=wanted)
    return {
        str(identifier): event_url(postmortem.incident_id, n)
        for identifier, n in places.values_list("pk", "n")
    }


def _links(line: StoredLine, places: Mapping[str, str]) -> str:
    found = [places[identifier] for identifier in line["events"] if identifier in places]
    links = [f"[\\[{address.rsplit('-', 1)[-1]}\\]](<{address}>)" for address in found[:MAX_LINKS]]
    if len(found) > MAX_LINKS:
        links.append(f"and {len(found) - MAX_LINKS} more")
    return f" {' '.join(links)}" if links else ""
