"""Applies one event to its alert: opens an episode, repeats or changes it, or ends it. The second key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from handrail.alerts import decisions, kinds
from handrail.alerts.events import AlertEvent, AlertStatus
from handrail.alerts.hooks import AlertChange, AlertChangeKind, alert_changed
from handrail.alerts.models import Alert, Delivery
from handrail.alerts.placing import environment_of, service_of
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, now
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.writing import insert, insert_once

LATE_DUPLICATE = timedelta(minutes=15)
"""How long after an episode's end its own firing may still arrive, from a peer or from a retry."""

LONGEST_WAIT = timedelta(minutes=10)
"""How long the end of an alert waits for deliveries that came before it. Less than all attempts take."""

EARLIEST_START = datetime(2000, 1, 1, tzinfo=UTC)
MAX_VALUE = 200


_OPEN = Compiled(
    lambda source, fingerprint: (
        Alert.objects.order_by()
        .select_for_update(no_key=True, of=("self",))
        .select_related("source", "project", "service", "environment")
        .filter(source=source, fingerprint=fingerprint, is_open=True)
    )
)
_ENDED = Compiled(
    lambda source, fingerprint: (
        Alert.objects.filter(source=source, fingerprint=fingerprint, is_open=False)
        .only("last_event_at", "last_delivery_id", "started_at")
        .order_by("-last_event_at")[:1]
    )
)


class Overtaken(Exception):
    """The end of an alert came to be applied before what its source had sent earlier, maybe its firing."""


@dataclass(frozen=True, slots=True)
class _Applying:
    """One event of one delivery, and who acts. ``again``: the delivery ends the alert, and then it is there again."""

    event: AlertEvent
    delivery: Delivery
    actor: Actor
    began: datetime
    again: bool

    @property
    def started_at(self) -> datetime:
        """When the source says that it began; the receipt where it says nothing, nonsense, or the future."""
        told, received = self.event.started_at, self.delivery.received_at
        return received if told is None or told < EARLIEST_START else min(told, received)

    @property
    def names_episode(self) -> bool:
        """Whether the source told a start, and its starts tell one episode of an alert from another."""
        return kinds.get(self.delivery.source.kind).start_names_episode and self.event.started_at is not None


def apply(event: AlertEvent, delivery: Delivery, *, actor: Actor, again: bool = False) -> str:
    """Apply one event in one transaction, hooks included; returns what was made of it, in words.

    Safe to repeat: an event of a delivery that was applied already changes nothing. ``again``: the last word of this
    delivery about this alert comes after its end in the same delivery, and is not its end.
    Raises Overtaken when it has to be tried again later.
    """
    applying = _Applying(event, delivery, actor, now(), again)
    with transaction.atomic():
        alert = _open_episode(delivery, event.fingerprint)
        if event.status is AlertStatus.RESOLVED:
            outcome = _resolve(alert, applying)
        elif alert is None:
            outcome = _open(applying)
        else:
            outcome = _repeat(alert, applying)
    return f"{event.title}: {outcome}"


def _open_episode(delivery: Delivery, fingerprint: str) -> Alert | None:
    return _OPEN.first(delivery.source_id, fingerprint)


def _open(applying: _Applying) -> str:
    event, delivery = applying.event, applying.delivery
    stale = _late_duplicate(applying)
    if stale:
        return stale
    alert = _new_episode(applying)
    if not insert_once(alert):
        # Another process (a peer's copy of the same notification) was faster: theirs is the episode.
        known = _open_episode(delivery, event.fingerprint)
        if known is not None:
            return _repeat(known, applying)
        # It has ended since; now nothing is in the way.
        insert(alert)
    words = f"Opened an episode: {event.status} since {alert.started_at:%Y-%m-%d %H:%M:%S} UTC"
    return _tell(alert, AlertChangeKind.OPENED, applying, words)


def _new_episode(applying: _Applying) -> Alert:
    event, delivery = applying.event, applying.delivery
    source = delivery.source
    alert = Alert(
        project=source.project,
        source=source,
        fingerprint=event.fingerprint,
        started_at=applying.started_at,
        first_seen_at=delivery.received_at,
        last_seen_at=delivery.received_at,
        last_event_at=delivery.received_at,
        service=service_of(source.project, event.labels),
        environment=environment_of(source.project, event.labels),
        first_delivery=delivery,
        last_delivery=delivery,
    )
    _copy(event, alert)
    return alert


def _copy(event: AlertEvent, alert: Alert) -> None:
    """Let the row say what the event says."""
    alert.status = event.status.value
    alert.severity = event.severity.value
    alert.severity_word = event.severity_word[:60]
    alert.title = event.title
    alert.description = event.description
    alert.labels = dict(event.labels)
    alert.annotations = dict(event.annotations)
    alert.links = [{"name": name, "url": url} for name, url in event.links.items()]
    alert.value = "" if event.value is None else str(event.value)[:MAX_VALUE]


def _late_duplicate(applying: _Applying) -> str:
    """Why a firing without an open episode is not a new one; "" when it is.

    A copy of the firing that opened the last episode may come after that episode's end: from a peer, from the
    sender's retry, from our own. Where the kind's start time names the episode, the copy bears the same one.
    """
    event, delivery = applying.event, applying.delivery
    last = _ENDED.first(delivery.source_id, event.fingerprint)
    if last is None:
        return ""
    ended_here = last.last_delivery_id == delivery.pk and not applying.again
    if last.last_event_at > delivery.received_at or ended_here:
        return "kept and ignored: a later delivery has ended this episode already"
    recent = delivery.received_at - last.last_event_at < LATE_DUPLICATE
    if applying.names_episode and recent and applying.started_at <= last.started_at:
        return "kept and ignored: the firing of an episode that has ended, arriving late"
    return ""


def _repeat(alert: Alert, applying: _Applying) -> str:
    event, delivery = applying.event, applying.delivery
    if alert.last_delivery_id == delivery.pk and alert.status == event.status:
        return "applied before"
    alert.seen_count += 1
    alert.last_seen_at = max(alert.last_seen_at, delivery.received_at)
    if delivery.received_at < alert.last_event_at:
        alert.save(update_fields=["seen_count", "last_seen_at"])
        return "kept and ignored: older than what was applied last"
    before = (alert.status, alert.severity)
    _copy(event, alert)
    alert.last_event_at = delivery.received_at
    alert.last_delivery = delivery
    alert.save()
    if before == (alert.status, alert.severity):
        _tell(alert, AlertChangeKind.REPEATED, applying)
        return f"seen {alert.seen_count} times, nothing new"
    words = f"Changed from {before[0]} ({before[1]}) to {alert.status} ({alert.severity})"
    return _tell(alert, AlertChangeKind.UPDATED, applying, words)


def _resolve(alert: Alert | None, applying: _Applying) -> str:
    event, delivery = applying.event, applying.delivery
    if alert is None:
        if _has_overtaken(delivery):
            raise Overtaken(
                "resolved, but deliveries that came before are still to be read: it waits for them"
            )
        return "resolved, but no episode is open: nothing to end"
    if applying.again and alert.first_delivery_id == delivery.pk:
        return "applied before: it fires again since"
    older = _belongs_to_an_earlier_episode(alert, applying)
    if older:
        return older
    ended_at = event.ended_at or delivery.received_at
    alert.is_open = False
    alert.status = AlertStatus.RESOLVED.value
    alert.ended_at = max(min(ended_at, delivery.received_at), alert.started_at)
    alert.last_seen_at = max(alert.last_seen_at, delivery.received_at)
    alert.last_event_at = max(alert.last_event_at, delivery.received_at)
    alert.last_delivery = delivery
    alert.save()
    words = f"Ended the episode: resolved at {alert.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    return _tell(alert, AlertChangeKind.RESOLVED, applying, words)


def _has_overtaken(delivery: Delivery) -> bool:
    """Whether an earlier delivery of the source is still to be applied: by a worker, or again after a fault of ours."""
    before = Delivery.objects.filter(
        source=delivery.source_id,
        verdict=Delivery.Verdict.RECEIVED,
        received_at__lt=delivery.received_at,
    )
    return before.exists() and database_now() - delivery.received_at < LONGEST_WAIT


def _belongs_to_an_earlier_episode(alert: Alert, applying: _Applying) -> str:
    event, delivery = applying.event, applying.delivery
    if applying.names_episode and applying.started_at == alert.started_at:
        # The end of this very episode, though a copy of its firing that came later was applied before.
        return ""
    if delivery.received_at < alert.last_event_at:
        return "kept and ignored: older than what was applied last"
    if event.started_at is not None and event.ended_at is not None and event.ended_at < alert.started_at:
        return "kept and ignored: the end of an earlier episode"
    return ""


def _tell(alert: Alert, kind: AlertChangeKind, applying: _Applying, words: str = "") -> str:
    """Tell what is above; all that is decided about the alert by whomever, ``words`` first."""
    change = AlertChange(alert=alert, kind=kind, delivery=applying.delivery, actor=applying.actor)
    with decisions.gathered(alert):
        if words:
            decisions.add(alert, words, by="intake")
        alert_changed(change)
    return decisions.words_since(alert, applying.began)
