"""What starts a runbook by itself: alerts, incidents and webhooks are held against the triggers of all live runbooks.

Called in the transaction that routed the alert, opened the incident, or takes the webhook. Every trigger that could
have started a run leaves a decision in words, whether it did or not: beside the alert, on the incident's timeline,
with the delivery.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from handrail.alerts import decisions
from handrail.alerts.hooks import MessageReceived
from handrail.alerts.models import Alert, Delivery, Source
from handrail.audit.actions import recorded_last
from handrail.incidents import timeline
from handrail.incidents.hooks import ChangeKind, IncidentChange
from handrail.incidents.models import Incident
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.clock import database_now
from handrail.shared.errors import HandrailError
from handrail.shared.ids import new_id, short
from handrail.shared.links import runbook_url
from handrail.shared.statements.compiled import Compiled
from runbooks import runs
from runbooks.execution.facts import alert_names, incident_names, webhook_names
from runbooks.language import ExpressionError, condition, render
from runbooks.language.definition import Json, Trigger
from runbooks.models import Run, Runbook
from runbooks.priorities import CONTAINMENT, PEOPLE
from runbooks.refusals import NotAdmitted
from runbooks.versions import definition_of

BY = "triggers"
"""Who decided, in an alert's decisions."""

LONGEST_KEY = 300

DECIDED = "trigger.decided"
"""The kind of the timeline event that explains what an incident without an alert started, and what not."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One trigger held against what has happened: an alert of an incident, the incident alone, or a webhook.

    ``tell`` keeps a decision in words where people look for it. ``delivery``: what brought the webhook.
    """

    runbook: Runbook
    trigger: Trigger
    actor: Actor
    names: Mapping[str, Json]
    tell: Callable[[str], None]
    incident: Incident | None = None
    alert: Alert | None = None
    delivery: Delivery | None = None

    @property
    def title(self) -> str:
        """The runbook and its trigger, for decisions."""
        return f"{self.runbook.slug} (trigger {self.trigger.id})"


def on_incident_changed(change: IncidentChange) -> None:
    """Start, attach to, or pass by the runbooks whose triggers fit what has happened.

    Alert triggers are asked for each alert that arrives; incident triggers once when an incident is opened, and
    once each time it is reopened, by an alert or by a person.
    """
    events = _events(change)
    if not events:
        return
    if change.alert is None:
        _explain_on_timeline(change, _considered(change, events))
        return
    tell = partial(decisions.add, change.alert, by=BY)
    if change.storm:
        tell("Started no runbook: the alert was gathered in a storm.")
        return
    if not _consider_all(change, events, tell):
        tell("Started no runbook: no live runbook of the project has an alert trigger.")


def _events(change: IncidentChange) -> frozenset[str]:
    """Which triggers the change is for; none where it is about neither."""
    by_alert = change.alert is not None
    match change.kind:
        case ChangeKind.OPENED:
            return frozenset({"alert", "incident"} if by_alert else {"incident"})
        case ChangeKind.JOINED if by_alert:
            return frozenset({"alert", "incident"} if change.reopens else {"alert"})
        case ChangeKind.REOPENED if not by_alert:
            return frozenset({"incident"})
    return frozenset()


def _considered(change: IncidentChange, events: frozenset[str]) -> list[str]:
    """What was decided about an incident that no alert is behind."""
    if change.storm:
        return ["Started no runbook: this incident gathers a storm"]
    told: list[str] = []
    if not _consider_all(change, events, told.append):
        told.append("Started no runbook: no live runbook of the project has an incident trigger")
    return told


def _explain_on_timeline(change: IncidentChange, told: list[str]) -> None:
    timeline.add(
        change.incident,
        DECIDED,
        "; ".join(words.rstrip(".") for words in told),
        actor=Actor.system(BY),
        data={"decisions": told[: decisions.MAX_DECISIONS]},
    )


def _consider_all(change: IncidentChange, events: frozenset[str], tell: Callable[[str], None]) -> int:
    """Hold every trigger of these kinds against the change; how many there were."""
    incident, alert = change.incident, change.alert
    names: dict[str, Json] = {"incident": incident_names(incident)}
    with_alert = names if alert is None else {**names, "alert": alert_names(alert)}
    actor = _actor(change)
    considered = 0
    with recorded_last():
        for runbook in _live_runbooks(incident.project_id):
            for trigger in _triggers(runbook, tell):
                if trigger.on in events:
                    considered += 1
                    known = with_alert if trigger.on == "alert" else names
                    _consider(Occasion(runbook, trigger, actor, known, tell, incident, alert))
    return considered


def on_message(received: MessageReceived) -> None:
    """Start, attach to, or pass by the runbooks whose triggers listen to webhooks.

    Without a `dedupe` of its own, its run has the delivery's id as its key. A delivery is told again only if nothing
    of what it started was committed.
    """
    delivery, source = received.delivery, received.delivery.source
    actor = _account_of(source, received.actor)
    names: dict[str, Json] = {"webhook": webhook_names(received.message, delivery)}
    considered = 0
    with recorded_last():
        for runbook in _live_runbooks(source.project_id):
            for trigger in _triggers(runbook, received.tell):
                if trigger.on == "webhook":
                    considered += 1
                    _consider(Occasion(runbook, trigger, actor, names, received.tell, delivery=delivery))
    if not considered:
        received.tell("Started no runbook: no live runbook of the project has a webhook trigger.")


def _live_runbooks(project_id: uuid.UUID) -> list[Runbook]:
    return _LIVE.all(project_id)


_LIVE = Compiled(
    lambda project: Runbook.objects.filter(
        project=project, live__isnull=False, archived_at=None
    ).select_related("live", "project")
)


def _triggers(runbook: Runbook, tell: Callable[[str], None]) -> tuple[Trigger, ...]:
    """The triggers of the live version. One that this process cannot read stops neither incident nor others."""
    if runbook.live is None:
        return ()
    try:
        return definition_of(runbook.live).triggers
    except HandrailError as error:
        tell(f"Could not consider {runbook.slug}: {error}")
        return ()


def _actor(change: IncidentChange) -> Actor:
    """The source's service account: what an alert may start is what its account may.

    Without an alert, whoever opened or reopened the incident, or started the run that did: as the run's starter,
    they may not approve it.
    """
    source = change.source
    if source is None:
        acting = change.starter or change.actor
        why = f"{change.incident} {change.kind.value}"
        return replace(acting, channel=Channel.AUTOMATION, on_behalf_of=why)
    return _account_of(source, change.actor)


def _account_of(source: Source, told_by: Actor) -> Actor:
    return Actor(
        kind=ActorKind.SERVICE,
        name=source.run_as.username,
        channel=Channel.AUTOMATION,
        user_id=source.run_as_id,
        on_behalf_of=f"source {source.name}",
        trace_id=told_by.trace_id,
        request_id=told_by.request_id,
    )


def _consider(occasion: Occasion) -> None:
    if not _matches(occasion):
        return
    try:
        key = _key(occasion)
        earlier = _earlier_run(occasion, key)
        if earlier is None or not _served_by(earlier, occasion):
            _act(occasion, key, is_free=earlier is None)
    except NotAdmitted as refusal:
        occasion.tell(f"Did not start {occasion.title}: {refusal.reason}")
    except (ExpressionError, HandrailError) as error:
        occasion.tell(f"Could not start {occasion.title} as {occasion.actor.name}: {error}")
        if occasion.incident is not None:
            _explain_failure(occasion, occasion.incident, error)


def _explain_failure(occasion: Occasion, incident: Incident, error: Exception) -> None:
    timeline.add(
        incident,
        "trigger.failed",
        f"{occasion.title} fits this {occasion.trigger.on}, but could not be started: {error}",
        actor=occasion.actor,
        url=runbook_url(occasion.runbook.project.slug, occasion.runbook.slug),
        subject=("runbook", occasion.runbook.pk),
        dedupe_key=f"trigger:{occasion.alert.pk}:{occasion.runbook.pk}:{occasion.trigger.id}"
        if occasion.alert is not None
        else "",
    )


def _matches(occasion: Occasion) -> bool:
    """Whether the trigger's condition holds; says so where it does not."""
    if occasion.trigger.when is None:
        return True
    try:
        if condition(occasion.trigger.when, occasion.names):
            return True
    except ExpressionError as error:
        occasion.tell(
            f"Did not start {occasion.title}: its condition does not fit this {occasion.trigger.on}: {error}"
        )
        return False
    occasion.tell(f"Did not start {occasion.title}: its condition is false: {occasion.trigger.when}")
    return False


def _key(occasion: Occasion) -> str:
    """What makes two occasions the same: the trigger's own key, else the incident, else the delivery."""
    dedupe = occasion.trigger.dedupe
    if dedupe is not None:
        return _bounded(f"{occasion.trigger.id}:{render(dedupe.key, occasion.names)}")
    if occasion.incident is not None:
        return f"incident:{occasion.incident.pk}"
    delivery = occasion.delivery.pk if occasion.delivery is not None else new_id()
    return f"delivery:{delivery}:{occasion.trigger.id}"


def _bounded(key: str) -> str:
    """The key, or its digest where it is too long: two long keys that begin alike are two keys."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"sha256={hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _earlier_run(occasion: Occasion, key: str) -> Run | None:
    """The open run with this key, else the newest within the window."""
    open_run = runs.open_with_key(occasion.runbook, key)
    if open_run is not None or occasion.trigger.dedupe is None:
        return open_run
    since = database_now() - timedelta(seconds=occasion.trigger.dedupe.window)
    same = Run.objects.filter(runbook=occasion.runbook, dedupe_key=key)
    return same.filter(created_at__gte=since).order_by("-created_at").first()


def _served_by(earlier: Run, occasion: Occasion) -> bool:
    """Whether an earlier run with the same key serves this occasion too; says so where it does."""
    dedupe = occasion.trigger.dedupe
    on_duplicate = dedupe.on_duplicate if dedupe is not None else "attach"
    if on_duplicate == "start" and not earlier.is_open:
        return False
    run = f"run {short(earlier.pk)}, which has the same key and {'goes on' if earlier.is_open else 'ended lately'}"
    if on_duplicate == "skip":
        occasion.tell(f"Did not start {occasion.title}: {run}, is enough (on_duplicate: skip).")
    else:
        occasion.tell(f"Attached to {run}, instead of starting {occasion.title} again.")
    return True


def _act(occasion: Occasion, key: str, *, is_free: bool) -> None:
    """Start the run, or say what would be started, as the trigger's mode has it. ``is_free``: no open run has it."""
    inputs = render(dict(occasion.trigger.inputs), occasion.names)
    if not isinstance(inputs, dict):
        raise TypeError("the inputs of a trigger are a mapping")
    if occasion.trigger.mode == "shadow":
        occasion.tell(f"Would have started {occasion.title} (shadow mode: nothing runs).")
        return
    if occasion.trigger.mode == "suggest":
        _suggest(occasion)
        return
    result = runs.start(
        occasion.runbook,
        inputs=inputs,
        actor=occasion.actor,
        trigger=occasion.trigger.id,
        incident=occasion.incident,
        alert=occasion.alert,
        dedupe_key=key,
        is_free=is_free,
        priority=CONTAINMENT if occasion.incident is not None else PEOPLE,
        automatic=True,
    )
    verb = "Attached to"
    if result.created:
        verb = "Started" if result.run.started_at is not None else "Queued"
    occasion.tell(
        f"{verb} run {short(result.run.pk)} of {occasion.title}: {result.reason or 'its condition is true.'}",
    )


def _suggest(occasion: Occasion) -> None:
    if occasion.incident is None:
        occasion.tell(f"Did not suggest {occasion.title}: there is no incident on which people would see it.")
        return
    occasion.tell(f"Suggested {occasion.title}: a person has to press Start.")
    timeline.add(
        occasion.incident,
        "run.suggested",
        f"{occasion.runbook.title} fits this {occasion.trigger.on}: start it if you agree",
        actor=occasion.actor,
        url=runbook_url(occasion.runbook.project.slug, occasion.runbook.slug),
        subject=("runbook", occasion.runbook.pk),
        dedupe_key=f"suggest:{occasion.runbook.pk}:{occasion.trigger.id}",
    )
