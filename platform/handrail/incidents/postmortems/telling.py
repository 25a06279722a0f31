"""The sections that tell what happened: header, summary, impact, detection, timeline, containment. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from handrail.incidents.postmortems.facts import Event, Facts, Line, evidence_of, prompts, proven
from handrail.incidents.postmortems.runs import (
    STEP_WORDS,
    RunStory,
    is_denial,
    runs_of,
    step_title,
    waits,
)
from handrail.incidents.postmortems.wording import (
    clock,
    counted,
    day,
    lasting,
    listed,
    placed,
    quoted,
    stamp,
)

ACKNOWLEDGING = (
    "incident.opened", "incident.acknowledged", "incident.investigating", "incident.identified", "incident.mitigated",
    "incident.command_taken", "incident.resolved",
)  # fmt: skip
SAME = timedelta(seconds=5)
"""So far an act and the time that it set may lie apart."""

MAX_TIMELINE = 150
MAX_ALERTS = 30
_MINOR = ("step.retrying", "step.retried", "step.skipped", "step.probed", "alert.changed", "incident.noted",
          "trigger.decided")  # fmt: skip


def header(facts: Facts) -> list[Line]:
    """What it was, how bad, who led it, and the five durations."""
    opened, took = facts.first("incident.opened"), facts.took
    changes = facts.of("incident.severity_changed")
    path = [change.word("from") for change in changes[:1]] + [change.word("to") for change in changes]
    severity = " → ".join(quoted(word) for word in path) if changes else quoted(facts.severity)
    commands = facts.of("incident.command_taken")
    lines = [
        *proven(f"**{quoted(facts.name)}**: {quoted(facts.title)}", opened),
        *proven(f"Severity: {severity}", opened, *evidence_of(changes)),
        *proven(
            f"Started {day(facts.times.started)}, {clock(facts.times.started)}; "
            f"detected after {lasting(took.detect)}",
            opened,
        ),
        *_acknowledged(facts),
    ]
    if commands:
        names = list(dict.fromkeys(quoted(command.actor) for command in commands))
        lines += proven(f"Commander: {', then '.join(names)}", *evidence_of(commands))
    for words, duration, kind in (
        ("Contained", took.contain, "incident.contained"),
        ("Mitigated", took.mitigate, "incident.mitigated"),
        ("Resolved", took.resolve, "incident.resolved"),
    ):
        if duration is not None:
            lines += proven(f"{words} after {lasting(duration)}", facts.last(kind))
    return lines


def summary(facts: Facts) -> list[Line]:
    """The story in a few sentences."""
    opened, fired = facts.first("incident.opened"), facts.first("alert.fired")
    where = placed(facts.service, facts.environment)
    began = f"On {day(facts.times.started)} at {clock(facts.times.started)}"
    lines: list[Line] = []
    if fired is not None:
        lines += proven(
            f"{began}, {quoted(fired.word('title') or facts.title)} began{where}; "
            f"{quoted(fired.word('source') or fired.actor)} told of it after {lasting(facts.took.detect)}.",
            fired,
            opened,
        )
    else:
        lines += proven(f"{began}, {quoted(facts.title)} was noticed{where}.", opened)
    for story in runs_of(facts):
        lines += _run_in_a_sentence(story)
    contained = facts.last("incident.contained")
    if facts.took.contain is not None:
        by = quoted(contained.word("by")) if contained else ""
        with_it = f" by {by}" if by else ""
        lines += proven(f"It was contained{with_it} after {lasting(facts.took.contain)}.", contained)
    resolved = facts.last("incident.resolved")
    if facts.took.resolve is not None and resolved is not None:
        reason = resolved.word("reason")
        why = f", as {quoted(reason)}" if reason and not resolved.human else ""
        by = f" by {quoted(resolved.actor)}" if resolved.human else " by itself"
        lines += proven(f"It was resolved{by} after {lasting(facts.took.resolve)}{why}.", resolved)
    return lines


def impact(facts: Facts) -> list[Line]:
    """Where it hurt, which alerts fired and how badly, for how long at which severity."""
    opened = facts.first("incident.opened")
    lines: list[Line] = []
    if facts.service or facts.environment:
        lines += proven(f"Affected: {_where(facts)}", opened)
    lines += _alerts(facts)
    lines += _minutes_by_severity(facts)
    return lines + prompts(
        "What did customers see, and how many of them?",
        "Was data lost, was money or a promise to a customer at stake?",
    )


def detection(facts: Facts) -> list[Line]:
    """Who noticed first, and how soon."""
    opened, fired = facts.first("incident.opened"), facts.first("alert.fired")
    lines: list[Line] = []
    if opened is not None and opened.data.get("human") is True:
        first = f"A human noticed first: {quoted(opened.actor)} reported it at {clock(opened.at)}"
        lines += proven(first, opened)
    if fired is not None:
        source = quoted(fired.word("source") or fired.actor)
        title = quoted(fired.word("title") or fired.text)
        lines += proven(f"The first alert was {title} from {source}, received at {clock(fired.at)}", fired)
    else:
        lines += proven("No alert fired", opened)
    lines += proven(f"Time to detect: {lasting(facts.took.detect)}", opened, fired)
    return lines + prompts("Could it have been noticed earlier, and by what?")


def timeline(facts: Facts) -> list[Line]:
    """What happened when, in UTC; of a very long timeline the events that matter most."""
    shown = _shown(facts.events)
    places = {event.n for event in shown}
    left = [event for event in facts.events if event.n not in places]
    lines: list[Line] = []
    for event in sorted(shown, key=lambda event: (event.at, event.n)):
        who = f"{quoted(event.actor, 80)}: " if event.kind == "note" else ""
        moment = stamp(event.at, facts.times.started)
        lines += proven(f"**{moment}** {who}{quoted(event.text)}", event)
    if left:
        lines += proven(
            f"{counted(len(left), 'further event')} between {stamp(left[0].at, facts.times.started)} and "
            f"{stamp(left[-1].at, facts.times.started)} stand on the incident's page",
            *evidence_of(left),
        )
    return lines


def containment(facts: Facts) -> list[Line]:
    """Each run with its steps and approvals, and what people decided over its head."""
    stories = runs_of(facts)
    if not stories:
        ends = (facts.first("incident.opened"), facts.last("incident.resolved"))
        return proven("No runbook ran", *ends) + prompts("What was done by hand, and by whom?")
    waited = {event.id: duration for event, duration in waits(facts)}
    lines: list[Line] = []
    for story in stories:
        lines += _run(story, waited)
    return lines


def _where(facts: Facts) -> str:
    names = [quoted(name) for name in (facts.service, facts.environment) if name]
    return " in ".join(names)


def _acknowledged(facts: Facts) -> list[Line]:
    after = facts.took.acknowledge
    if after is None:
        ends = (facts.first("incident.opened"), facts.last("incident.resolved"))
        return proven("Acknowledged by nobody", *ends)
    moment = facts.times.acknowledged
    for event in facts.events:
        if event.human and event.kind in ACKNOWLEDGING and moment and abs(event.at - moment) <= SAME:
            return proven(f"Acknowledged after {lasting(after)} by {quoted(event.actor)}", event)
    # By somebody whose act stands elsewhere: corrected since, or in an incident that was merged into this one.
    behind = facts.last("incident.corrected", "incident.absorbed") or facts.first("incident.opened")
    return proven(f"Acknowledged after {lasting(after)}", behind)


def _run_in_a_sentence(story: RunStory) -> list[Line]:
    started, finished = story.first("run.started"), story.first("run.finished")
    if started is None and finished is None:
        return []
    lasted = finished.seconds("duration") if finished else None
    end = f"{quoted(story.state)} after {lasting(lasted)}" if lasted is not None else quoted(story.state)
    return proven(f"Runbook {story.name} {end or 'had not finished'}.", started, finished)


def _alerts(facts: Facts) -> list[Line]:
    ended = {event.word("alert"): event for event in facts.of("alert.resolved")}
    changed: dict[str, list[Event]] = {}
    for event in facts.of("alert.changed"):
        changed.setdefault(event.word("alert"), []).append(event)
    fired = facts.of("alert.fired")
    lines: list[Line] = []
    for event in fired[:MAX_ALERTS]:
        key = event.word("alert")
        later = changed.get(key, [])
        peak = _worst([event.word("severity"), *(change.word("severity") for change in later)])
        end = ended.get(key)
        span = f"for {lasting(end.at - event.at)}" if end else "until the end"
        seen = end.data.get("seen_count") if end else None
        times = f", sent {counted(seen, 'time')}" if isinstance(seen, int) and seen > 1 else ""
        title = quoted(event.word("title") or event.text)
        lines += proven(f"{title} fired {span} (at worst {quoted(peak)}{times})", event, *later[:5], end)
    if len(fired) > MAX_ALERTS:
        rest = fired[MAX_ALERTS:]
        lines += proven(f"{counted(len(rest), 'further alert')} fired", *evidence_of(rest))
    return lines


def _worst(severities: Sequence[str]) -> str:
    order = ["critical", "error", "warning", "info"]
    known = [severity for severity in severities if severity in order]
    return min(known, key=order.index) if known else "unknown"


def _minutes_by_severity(facts: Facts) -> list[Line]:
    opened = facts.first("incident.opened")
    changes = facts.of("incident.severity_changed")
    if opened is None:
        return []
    current = opened.word("severity") or facts.severity
    spent: dict[str, timedelta] = {}
    since = facts.times.started
    for change in changes:
        spent[current] = spent.get(current, timedelta()) + max(change.at - since, timedelta())
        since, current = change.at, change.word("to") or current
    spent[current] = spent.get(current, timedelta()) + max(facts.end - since, timedelta())
    words = [f"{lasting(duration)} as {quoted(severity)}" for severity, duration in sorted(spent.items())]
    return proven(listed(words), opened, *evidence_of(changes[:20]), facts.last("incident.resolved"))


def _shown(events: Sequence[Event]) -> list[Event]:
    """All events; when they are too many, first without the minor ones, then the first and the last."""
    if len(events) <= MAX_TIMELINE:
        return list(events)
    major = [event for event in events if event.kind not in _MINOR]
    if len(major) <= MAX_TIMELINE:
        return major
    half = MAX_TIMELINE // 2
    return [*major[:half], *major[-half:]]


def _run(story: RunStory, waited: dict[str, timedelta]) -> list[Line]:
    started, finished = story.first("run.started"), story.first("run.finished")
    lasted = finished.seconds("duration") if finished else None
    end = quoted(story.state) or "had not finished"
    after = f" after {lasting(lasted)}" if lasted is not None else ""
    first = story.events[0]
    lines = proven(f"**{story.name}** {end}{after}", started or first, finished)
    for event in story.events:
        lines += _step(event, waited)
    return lines


def _step(event: Event, waited: dict[str, timedelta]) -> list[Line]:
    title = step_title(event)
    if event.kind in ("approval.decided", "approval.expired"):
        pause = f" after {lasting(waited[event.id])}" if event.id in waited else ""
        if event.kind == "approval.expired":
            return proven(f"{title} was decided by nobody{pause}: it was not approved", event)
        verb = "denied" if is_denial(event) else "approved"
        reason = f": {quoted(event.word('reason'))}" if event.word("reason") else ""
        return proven(
            f"{title} was {verb} by {quoted(event.word('by') or event.actor)}{pause}{reason}", event
        )
    if event.kind == "run.stopped":
        return proven(
            f"Stopped by {quoted(event.word('by') or event.actor)}: {quoted(event.word('reason'))}", event
        )
    words = STEP_WORDS.get(event.kind)
    if words is None:
        return []
    lasted = event.seconds("duration")
    took = f" after {lasting(lasted)}" if lasted is not None and event.kind != "step.skipped" else ""
    why = quoted(event.error or event.word("reason"))
    if event.kind == "step.decided":
        choice = quoted(event.word("choice"))
        return proven(f"{title} was settled as {choice} by {quoted(event.word('by'))}: {why}", event)
    return proven(f"{title} {words}{took}" + (f": {why}" if why else ""), event)
