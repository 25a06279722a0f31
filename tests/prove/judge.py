"""The verdict: the database against the ledger, and each run's history against itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from handrail.audit.chain import INSTALLATION
from handrail.audit.models import AuditEntry
from handrail.audit.trail import head, installation_links
from handrail.audit.verification import Verifier
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.clock import database_now
from runbooks import histories
from runbooks.engine.apply import replay
from runbooks.engine.events import from_row
from runbooks.engine.state import PROBE, STEP, Key, key_of
from runbooks.execution.contexts import idempotency_key
from runbooks.execution.live import expanded
from runbooks.models import Approval, Run, RunEvent, ScheduleTick, StepAttempt, StepRun
from tests.prove.ledger import BEGIN, DID, END, SENT, Ledger, Line
from tests.prove.scenarios import SCENARIOS


@dataclass(slots=True)
class Verdict:
    """Sentences, each about something that must not be. ``unexpected``: errors that belong to nothing that was done."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.unexpected)


TOLD_OF_STUCK = 12
"""The last events of a stuck run that the report tells."""


def _where_it_stands(run: Run) -> str:
    """What whoever looks for the reason needs, as the database is gone with the proof."""
    rows = [
        f"{key_of(row.node, row.iteration, row.role)}={row.state}/{row.attempt} fence {row.fence} owner {row.owner}"
        f" ready {row.ready_at} due {row.due_at} hinted {row.hinted_at} lease {row.lease_until}"
        for row in StepRun.objects.filter(run=run)
        if row.state not in (StepRun.State.SUCCEEDED, StepRun.State.CANCELLED, StepRun.State.SKIPPED)
    ]
    last = RunEvent.objects.filter(run=run).order_by("-n")[:TOLD_OF_STUCK]
    events = [f"{event.at.time()} {event.type} {event.data.get('key', '')}" for event in reversed(last)]
    return f"now {database_now().time()}; rows: {'; '.join(rows)}; history: {'; '.join(events)}"


Deaths = Mapping[int, Sequence[float]]
"""When, on the monotonic clock, the processes with an id were killed: in a long proof the system gives ids again."""


def judge(ledger: Ledger, told: Path, died: Deaths, *, unexpected: Iterable[str] = ()) -> Verdict:
    """``unexpected``: what nobody can explain."""
    verdict = Verdict(unexpected=[*unexpected])
    lines = [line for line in ledger.lines() if line.word != SENT]
    did = Counter(line.key for line in lines if line.word == DID)
    _every_told_run_exists(told, verdict)
    _everything_told_was_sent(ledger, told, verdict)
    _no_effect_without_its_record(lines, verdict)
    _the_trail_is_whole(verdict)
    _every_tick_started_one_run(verdict)
    _the_incidents_know_their_runs(verdict)
    by_slug = {scenario.slug: scenario for scenario in SCENARIOS}
    for run in Run.objects.select_related("runbook").iterator():
        scenario = by_slug[run.runbook.slug]
        if run.is_open:
            verdict.stuck.append(f"run {run.pk} ({scenario.slug}) is {run.state}: {_where_it_stands(run)}")
            continue
        if run.state != scenario.state:
            verdict.lost.append(f"run {run.pk} ({scenario.slug}) ended {run.state}, not {scenario.state}")
        for node in (*scenario.once, *scenario.repeatable):
            times = did[_key(run, node)]
            if not times:
                verdict.lost.append(f"{scenario.slug}/{node} of run {run.pk} never happened")
            if times > 1 and node in scenario.once:
                verdict.doubled.append(f"{scenario.slug}/{node} of run {run.pk} happened {times} times")
        for node in scenario.never:
            if did[_key(run, node)]:
                verdict.doubled.append(f"{scenario.slug}/{node} of run {run.pk} happened, and should not")
        _history_is_whole(run, verdict)
    _nothing_overlaps(lines, died, verdict)
    return verdict


def _the_incidents_know_their_runs(verdict: Verdict) -> None:
    """A timeline has no gaps, and each beginning and end of a run in it."""
    for incident in Incident.objects.all():
        events = TimelineEvent.objects.filter(incident=incident).order_by("n")
        if [*events.values_list("n", flat=True)] != [*range(1, incident.timeline_n + 1)]:
            verdict.lost.append(
                f"the timeline of {incident} has gaps, or goes beyond its {incident.timeline_n}"
            )
        for kind in ("run.started", "run.finished"):
            known = Counter(events.filter(kind=kind).values_list("subject_id", flat=True))
            for run in Run.objects.filter(incident=incident, is_open=False).values_list("pk", flat=True):
                if not known[str(run)]:
                    verdict.lost.append(f"the timeline of {incident} has no {kind} of run {run}")
                if known[str(run)] > 1:
                    verdict.doubled.append(
                        f"the timeline of {incident} has {kind} of run {run} several times"
                    )


def _key(run: Run, node: str) -> str:
    name, _, role = node.partition(":")
    place = Key.parse(name)
    return idempotency_key(run.pk, key_of(place.node, place.iteration, role or STEP))


def _every_told_run_exists(told: Path, verdict: Verdict) -> None:
    names = set(told.read_text().split()) if told.exists() else set()
    there = {str(pk) for pk in Run.objects.values_list("pk", flat=True)}
    verdict.lost += [f"run {name} was started, and is not there" for name in sorted(names - there)]


def _everything_told_was_sent(ledger: Ledger, told: Path, verdict: Verdict) -> None:
    """A message of the outbox leaves at least once."""
    names = set(told.read_text().split()) if told.exists() else set()
    sent = {line.key for line in ledger.lines() if line.word == SENT}
    verdict.lost += [f"the message about run {name} never left" for name in sorted(names - sent)]


def _no_effect_without_its_record(lines: Iterable[Line], verdict: Verdict) -> None:
    """Each call that was begun has an intent of its own in the history."""
    intents = Counter(
        RunEvent.objects.filter(type="step.started").values_list("data__idempotency_key", flat=True)
    )
    begun = Counter(line.key for line in lines if line.word == BEGIN)
    verdict.lost += [
        f"{key} was begun {n} times, and recorded {intents[key]} times"
        for key, n in begun.items()
        if n > intents[key]
    ]


def _the_trail_is_whole(verdict: Verdict) -> None:
    """Its chain is unbroken, and says of each run that it was started, and how it ended."""
    verifier = Verifier()
    verifier.feed(installation_links())
    verifier.feed(histories.links())
    found = verifier.conclude({INSTALLATION: head()})
    verdict.lost += [f"the audit trail: {problem.text}" for problem in found.problems]
    for action, wanted in (
        ("run.started", Run.objects.all()),
        ("run.finished", Run.objects.filter(is_open=False)),
        ("approval.decided", Approval.objects.filter(state="approved")),
    ):
        told = Counter(AuditEntry.objects.filter(action=action).values_list("object_id", flat=True))
        for pk in wanted.values_list("pk", flat=True):
            if told[str(pk)] != 1:
                verdict.lost.append(f"the trail has {action} of {pk} {told[str(pk)]} times")


def _every_tick_started_one_run(verdict: Verdict) -> None:
    ticks = ScheduleTick.objects.filter(run__isnull=False).count()
    runs = Run.objects.exclude(trigger="").count()
    if ticks != runs:
        verdict.doubled.append(f"{ticks} ticks of schedules started {runs} runs")


def stale_completions(stopped: Path, died: Container[int], verdict: Verdict) -> None:
    """Whoever was stopped behind an effect, and lost the step meanwhile, was refused, and that is on the trail.

    Of those who were killed before they could say anything, nothing can be asked.
    """
    words = stopped.read_text().splitlines() if stopped.exists() else []
    for pid, _, point in (word.partition("\t") for word in words):
        if point != "effect.after" or int(pid) in died:
            continue
        for attempt in StepAttempt.objects.filter(worker__contains=f":{pid}:", outcome="lost"):
            refused = AuditEntry.objects.filter(
                action="step.completion_refused", data__worker=attempt.worker, data__fence=attempt.fence
            )
            if not refused.exists():
                verdict.lost.append(f"what the stopped {attempt.worker} said of its step was not refused")


def _history_is_whole(run: Run, verdict: Verdict) -> None:
    """Its events replay to what the rows say, and no step succeeded twice."""
    events = list(RunEvent.objects.filter(run=run).order_by("n"))
    verdict.doubled += [
        f"{key} of run {run.pk} completed {n} times" for key, n in completions(events) if n > 1
    ]
    state = replay([from_row(event.type, expanded(event.data), event.at) for event in events])
    if state.status != run.state:
        verdict.lost.append(f"the history of run {run.pk} ends {state.status}, its row says {run.state}")
    for step in StepRun.objects.filter(run=run, role="step"):
        said = state.node(key_of(step.node, step.iteration)).status
        if said != step.state:
            verdict.lost.append(f"{step.node} of run {run.pk}: history {said}, row {step.state}")


def completions(events: Iterable[RunEvent]) -> list[tuple[str, int]]:
    """How often each piece of work succeeded. A probe is asked once for each doubt about its step."""
    succeeded: Counter[tuple[str, int]] = Counter()
    doubts: Counter[str] = Counter()
    for event in events:
        if event.type == "step.uncertain":
            doubts[_probe_of(event.data["key"])] += 1
        elif event.type == "step.succeeded":
            succeeded[event.data["key"], doubts[event.data["key"]]] += 1
    return [(key, n) for (key, _), n in succeeded.items()]


def _probe_of(key: str) -> str:
    """The key of the probe that is asked about a step."""
    place = Key.parse(key)
    return key_of(place.node, place.iteration, PROBE)


def _nothing_overlaps(lines: Iterable[Line], died: Deaths, verdict: Verdict) -> None:
    """No two processes were in the same call at the same time."""
    calls: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        calls[line.key].append(line)
    for key, found in calls.items():
        spans: list[tuple[float, float, int]] = []
        for begin in (line for line in found if line.word == BEGIN):
            ends = [
                line.at
                for line in found
                if line.word == END and line.pid == begin.pid and line.at >= begin.at
            ]
            deaths = [at for at in died.get(begin.pid, ()) if at >= begin.at]
            until = min([*ends, *deaths], default=begin.at)
            spans.append((begin.at, until, begin.pid))
        spans.sort()
        for (_, until, one), (since, _, other) in pairwise(spans):
            if since < until and one != other:
                verdict.doubled.append(f"{key} was executed by {one} and {other} at the same time")
