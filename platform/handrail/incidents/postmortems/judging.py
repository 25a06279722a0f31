"""The sections that weigh what happened: observations, causes, action items, appendix. Pure."""

from __future__ import annotations

from datetime import timedelta

from handrail.incidents.postmortems.facts import Event, Facts, Line, evidence_of, prompts, proven
from handrail.incidents.postmortems.runs import (
    DECIDED,
    FAILED_STEPS,
    RETRIED_STEPS,
    is_denial,
    runs_of,
    step_title,
    steps_by_title,
    waits,
)
from handrail.incidents.postmortems.wording import clock, counted, lasting, quoted

SOON = timedelta(minutes=5)
AT_ONCE = timedelta(minutes=1)
LONG_WAIT = timedelta(minutes=5)
MAX_ITEMS = 20


def went_well(facts: Facts) -> list[Line]:
    """What the figures speak for."""
    opened, took = facts.first("incident.opened"), facts.took
    lines: list[Line] = []
    if facts.first("alert.fired") and took.detect <= AT_ONCE:
        lines += proven(f"It was detected within {lasting(took.detect)}, by an alert", opened)
    human = facts.first("incident.acknowledged")
    if took.acknowledge is not None and took.acknowledge <= SOON:
        lines += proven(f"A person looked at it within {lasting(took.acknowledge)}", human or opened)
    for story in runs_of(facts):
        failures = [event for event in story.events if event.kind in (*FAILED_STEPS, *RETRIED_STEPS)]
        if story.state == "succeeded" and not failures:
            finished = story.first("run.finished")
            lines += proven(f"{story.name} ran through without a failed or repeated step", finished)
    contained = facts.last("incident.contained")
    if took.contain is not None:
        lines += proven("Recovery was verified, not assumed", contained)
    return lines + prompts("What else went well, and should be kept?")


def went_badly(facts: Facts) -> list[Line]:
    """What cost time or went wrong, as far as events can tell."""
    lines = [*_waiting(facts), *_failures(facts), *_decisions(facts)]
    opened, resolved = facts.first("incident.opened"), facts.last("incident.resolved")
    if facts.took.acknowledge is None:
        lines += proven("No human acknowledged it", opened, resolved)
    elif facts.took.acknowledge > SOON:
        lines += proven(f"Nobody acknowledged it for {lasting(facts.took.acknowledge)}", opened)
    if facts.flaps:
        reopened = facts.of("incident.reopened")
        lines += proven(
            f"It came back {counted(facts.flaps, 'time')} after it was resolved", *evidence_of(reopened)
        )
    fired = facts.first("alert.fired")
    if fired is not None and not runs_of(facts):
        lines += proven(f"No runbook ran for {quoted(fired.word('title') or fired.text)}", fired)
    if opened is not None and opened.data.get("human") is True:
        lines += proven("A human noticed it before any alert did", opened)
    return lines + prompts("What else went badly, or took too long?")


def lucky(_: Facts) -> list[Line]:
    """Only people know."""
    return prompts("Where were we lucky? What would have made it much worse?")


def causes(facts: Facts) -> list[Line]:
    """What was named as the cause during the incident, and the questions behind it."""
    lines: list[Line] = []
    for event in facts.of("incident.identified"):
        if event.word("reason"):
            lines += proven(
                f"Named at {clock(event.at)} by {quoted(event.actor)}: {quoted(event.word('reason'))}", event
            )
    return lines + prompts(
        "What set it off: which change, which load, which failure elsewhere?",
        "Which conditions, there for longer, made it possible?",
        "Why did the checks before production not find it?",
    )


def action_items(facts: Facts) -> list[Line]:
    """Suggestions, each for an event that should not have to happen again."""
    lines: list[Line] = []
    for title, events in steps_by_title(facts.of(*FAILED_STEPS)).items():
        error = next((event.error for event in events if event.error), "")
        why = f" ({quoted(error, 160)})" if error else ""
        lines += proven(f"Find out why {title} failed{why}", *evidence_of(events))
    for title, events in steps_by_title(facts.of("step.uncertain")).items():
        lines += proven(
            f"Give {title} a probe, so that its outcome need not be guessed", *evidence_of(events)
        )
    for event, waited in waits(facts):
        if event.kind == "approval.expired":
            lines += proven(f"Widen who is asked for {step_title(event)}: nobody answered in time", event)
        elif waited > LONG_WAIT:
            lines += proven(f"Shorten the wait for {step_title(event)}: it took {lasting(waited)}", event)
    fired = facts.first("alert.fired")
    if fired is not None and not runs_of(facts):
        lines += proven(f"Write a runbook for {quoted(fired.word('title') or fired.text)}", fired)
    for event in facts.of("trigger.failed")[:5]:
        lines += proven(f"Mend the trigger that could not start its runbook: {quoted(event.text)}", event)
    return lines[:MAX_ITEMS] + prompts("What will be done, by whom, and until when?")


def appendix(facts: Facts) -> list[Line]:
    """Where the alerts, the runs and the trace are."""
    lines: list[Line] = []
    for event in facts.of("alert.fired")[:MAX_ITEMS]:
        lines += proven(f"Alert: {_linked(event.word('title') or event.text, event)}", event)
    for story in runs_of(facts):
        event = story.first("run.started") or story.events[0]
        link = f"[{story.name}](<{event.url}>)" if _is_ours(event.url) else story.name
        lines += proven(f"Run: {link}", event)
    last = facts.events[-1] if facts.events else None
    first = facts.events[0] if facts.events else None
    lines += proven(f"{counted(len(facts.events), 'event')} on the timeline", first, last)
    if facts.trace_id:
        lines += proven(f"Trace: {quoted(facts.trace_id)}", facts.first("incident.opened"))
    return lines


def _waiting(facts: Facts) -> list[Line]:
    waited = waits(facts)
    whole = facts.end - facts.times.started
    total = sum((duration for _, duration in waited), timedelta())
    if not waited or total <= timedelta() or whole <= timedelta():
        return []
    share = min(total / whole, 1.0)
    words = f"{lasting(total)} of {lasting(whole)} ({share:.0%}) were spent waiting for approval"
    return proven(words, *evidence_of(event for event, _ in waited))


def _failures(facts: Facts) -> list[Line]:
    lines: list[Line] = []
    for title, events in steps_by_title(facts.of(*FAILED_STEPS)).items():
        lines += proven(f"{title} failed{_often(events)}", *evidence_of(events))
    for title, events in steps_by_title(facts.of(*RETRIED_STEPS)).items():
        lines += proven(f"{title} had to be repeated{_often(events)}", *evidence_of(events))
    for title, events in steps_by_title(facts.of("step.uncertain")).items():
        lines += proven(f"Nobody knew whether {title} had happened", *evidence_of(events))
    for event in facts.of("trigger.failed")[:5]:
        lines += proven(f"A runbook could not be started: {quoted(event.text)}", event)
    return lines


def _decisions(facts: Facts) -> list[Line]:
    lines: list[Line] = []
    for event in facts.of(*DECIDED):
        if is_denial(event):
            reason = f": {quoted(event.word('reason'))}" if event.word("reason") else ""
            by = quoted(event.word("by") or event.actor)
            lines += proven(f"{step_title(event)} was denied by {by}{reason}", event)
    for event in facts.of("approval.expired"):
        lines += proven(f"Nobody answered the question of {step_title(event)} in time", event)
    return lines


def _often(events: list[Event]) -> str:
    return f" {counted(len(events), 'time')}" if len(events) > 1 else ""


def _linked(text: str, event: Event) -> str:
    return f"[{quoted(text)}](<{event.url}>)" if _is_ours(event.url) else quoted(text)


def _is_ours(url: str) -> bool:
    return url.startswith(("http://", "https://")) and not any(mark in url for mark in "<>\\ \n")
