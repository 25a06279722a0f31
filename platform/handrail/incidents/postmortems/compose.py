"""Composes a draft: which sections there are, in which order, each from sentence templates over events. Pure."""

from __future__ import annotations

from collections.abc import Callable

from handrail.incidents.postmortems import judging, telling
from handrail.incidents.postmortems.facts import Facts, Line, Section

GENERATOR_VERSION = "1"

SECTIONS: tuple[tuple[str, str, Callable[[Facts], list[Line]]], ...] = (
    ("header", "Incident", telling.header),
    ("summary", "Summary", telling.summary),
    ("impact", "Impact", telling.impact),
    ("detection", "Detection", telling.detection),
    ("timeline", "Timeline", telling.timeline),
    ("containment", "Containment", telling.containment),
    ("went_well", "What went well", judging.went_well),
    ("went_badly", "What went badly", judging.went_badly),
    ("lucky", "Where we were lucky", judging.lucky),
    ("causes", "Trigger and root causes", judging.causes),
    ("action_items", "Action items", judging.action_items),
    ("appendix", "Appendix", judging.appendix),
)
"""Key, title and template of each section, in the order of the document."""

PROSE = frozenset({"summary"})
"""Sections whose lines are sentences of one paragraph; the others are lists."""


def compose(facts: Facts) -> list[Section]:
    """The whole draft. Every line but a prompt names the events that prove it; the same facts give the same draft."""
    return [Section(key, title, tuple(template(facts))) for key, title, template in SECTIONS]
