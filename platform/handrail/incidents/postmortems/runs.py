"""Reads runs, steps and approvals out of the timeline's events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from handrail.incidents.postmortems.facts import Event, Facts
from handrail.incidents.postmortems.wording import quoted

STEP_WORDS = {
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.timed_out": "timed out",
    "step.skipped": "was skipped",
    "step.uncertain": "ended with an unknown outcome",
    "step.compensated": "was undone",
    "step.compensation_failed": "could not be undone",
    "step.cancelled": "was cancelled",
    "step.decided": "was decided by a person",
}
FAILED_STEPS = ("step.failed", "step.timed_out", "step.compensation_failed")
RETRIED_STEPS = ("step.retrying", "step.retried")
DECIDED = ("approval.decided",)
_DENIED = {"deny", "denied", "reject", "rejected"}


@dataclass(slots=True)
class RunStory:
    """One run as the timeline tells it."""

    run: str
    events: list[Event] = field(default_factory=list)

    def first(self, *kinds: str) -> Event | None:
        """The first event of these kinds."""
        return next((event for event in self.events if event.kind in kinds), None)

    @property
    def name(self) -> str:
        """``high-error-rate v7``, in Markdown."""
        event = next((event for event in self.events if event.word("runbook")), None)
        if event is None:
            return "a runbook"
        version = event.data.get("version")
        return quoted(event.word("runbook")) + (f" v{version}" if isinstance(version, int) else "")

    @property
    def state(self) -> str:
        """``succeeded``, ``failed``, ``cancelled``; "" as long as it has not finished."""
        finished = self.first("run.finished")
        return (finished.word("state") or finished.word("outcome")) if finished else ""


def runs_of(facts: Facts) -> list[RunStory]:
    """The runs in the order in which they appear."""
    stories: dict[str, RunStory] = {}
    for event in facts.events:
        run = event.word("run")
        if run and event.kind.split(".")[0] in ("run", "step", "approval"):
            stories.setdefault(run, RunStory(run)).events.append(event)
    return list(stories.values())


def is_denial(event: Event) -> bool:
    """Whether a decision was a denial."""
    return event.word("decision") in _DENIED


def waits(facts: Facts) -> list[tuple[Event, timedelta]]:
    """Each decided or expired approval with the time for which it waited."""
    found: list[tuple[Event, timedelta]] = []
    asked: dict[tuple[str, str], Event] = {}
    for event in facts.of("approval.asked", "approval.decided", "approval.expired"):
        place = (event.word("run"), event.word("step"))
        if event.kind == "approval.asked":
            asked[place] = event
            continue
        told = event.seconds("waited_seconds")
        question = asked.get(place)
        waited = told if told is not None else (event.at - question.at if question else None)
        if waited is not None:
            found.append((event, max(waited, timedelta())))
    return found


def step_title(event: Event) -> str:
    """The step's title, in Markdown and quotation marks."""
    return f"“{quoted(event.word('title') or event.word('step') or 'a step', 120)}”"


def steps_by_title(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events by their step's title, in the order of their first appearance."""
    grouped: dict[str, list[Event]] = {}
    for event in events:
        grouped.setdefault(step_title(event), []).append(event)
    return grouped
