"""Makes alerts of a stored delivery, one transaction an event; what fails is tried again, then a dead letter.

What a subscriber raises must neither lose the delivery nor reach the sender as a 5xx, so events are announced
by a robust signal: it hands errors back as values.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.dispatch import Signal

from handrail.alerts import episodes, kinds, messages
from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import IntakeError
from handrail.alerts.events import AlertEvent, AlertStatus, Message, Told
from handrail.alerts.models import Delivery
from handrail.alerts.settings import read_settings
from handrail.alerts.text import storable
from handrail.letters import actions as letters
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.clock import database_now, steady
from handrail.shared.statements.writing import Batch

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 10
"""With the delays below: some twenty minutes of a fault of ours before a delivery is a dead letter."""

LEASE = timedelta(seconds=60)
"""How long an attempt may be silent before another process may try; one that goes on prolongs it."""

MAX_EXPLANATIONS = 100

Verdict = Delivery.Verdict


class EventReceived(Signal):
    """One alert or message of a stored delivery: ``event`` and ``delivery``; the receiver answers in words."""


event_received = EventReceived()


def actor_of(delivery: Delivery) -> Actor:
    """Who acts when a delivery changes something: the source, which has no permission of its own."""
    return Actor(
        kind=ActorKind.SYSTEM,
        name=f"source {delivery.source.name}",
        channel=Channel.AUTOMATION,
        trace_id=delivery.trace_id,
    )


def _apply(event: Told, delivery: Delivery, *, again: bool = False, **_: object) -> str:
    if isinstance(event, Message):
        return messages.apply(event, delivery, actor=actor_of(delivery))
    return episodes.apply(event, delivery, actor=actor_of(delivery), again=again)


event_received.connect(_apply, dispatch_uid="alerts.episodes")


def process(delivery: Delivery, events: Sequence[Told]) -> None:
    """Apply the events of a claimed delivery and write its verdict; never raises what a subscriber raised."""
    words = [event.note for event in events if event.note]
    failures: list[str] = []
    again = _firing_again(events)
    prolonged = steady()
    for event in events:
        if steady() - prolonged > LEASE.total_seconds() / 4:
            _prolong(delivery)
            prolonged = steady()
        is_again = isinstance(event, AlertEvent) and event.fingerprint in again
        told = event_received.send_robust(Delivery, event=event, delivery=delivery, again=is_again)
        for _, answer in told:
            if isinstance(answer, episodes.Overtaken):
                failures.append(f"{event.title}: {answer}")
            elif isinstance(answer, BaseException):
                log.error("event_failed", delivery=str(delivery.pk), title=event.title, exc_info=answer)
                failures.append(f"{event.title}: {type(answer).__name__}: {answer}")
            else:
                words.append(str(answer))
    _finish(delivery, words, failures)


def _firing_again(events: Sequence[Told]) -> set[str]:
    """The alerts that one delivery first ends and then, as its last word, says to be there again."""
    ended: set[str] = set()
    again: set[str] = set()
    for event in events:
        if not isinstance(event, AlertEvent):
            continue
        if event.status is AlertStatus.RESOLVED:
            ended.add(event.fingerprint)
            again.discard(event.fingerprint)
        elif event.fingerprint in ended:
            again.add(event.fingerprint)
    return again


def process_by_id(delivery_id: uuid.UUID | str) -> None:
    """Claim a received delivery that is due and process it; a stale or forged hint finds nothing to do."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return
    if delivery.attempts > MAX_ATTEMPTS:
        last = delivery.error or "no attempt came to its end, as if each had lost its process"
        bury(delivery, f"Given up after {MAX_ATTEMPTS} attempts: {last}")
        return
    settings = read_settings(delivery.source.settings)
    try:
        events = read_events(delivery.source.kind, bytes(delivery.body), delivery.headers, settings.mapping)
    except IntakeError as error:
        bury(delivery, str(error))
        return
    process(delivery, events)


def read_events(
    kind: str, body: bytes, headers: dict[str, str], mapping: Mapping[str, JsonValue]
) -> Sequence[Told]:
    """What the source's own parser reads in a body; raises IntakeError."""
    return kinds.get(kind).parse(body, headers, mapping)


def process_due(limit: int = 50) -> int:
    """The sweeper's duty: deliveries whose hint was lost, whose attempt failed, or whose process died."""
    due = (
        Delivery.objects.filter(verdict=Verdict.RECEIVED, due_at__lte=database_now())
        .order_by("due_at")
        .values_list("pk", flat=True)[:limit]
    )
    identifiers = list(due)
    for identifier in identifiers:
        process_by_id(identifier)
    return len(identifiers)


def bury(delivery: Delivery, error: str) -> None:
    """Make the delivery a dead letter: kept, listed, and not tried again by itself."""
    # It may name a key of the body, with what no database keeps.
    error = storable(error)
    with transaction.atomic():
        buried = Delivery.objects.filter(pk=delivery.pk, verdict=Verdict.RECEIVED).update(
            verdict=Verdict.DEAD, error=error, due_at=None
        )
        if buried:
            list_dead(delivery, error)
    log.warning("delivery_dead", delivery=str(delivery.pk), source=str(delivery.source_id), error=error)


def list_dead(delivery: Delivery, error: str) -> None:
    """Put a dead delivery on the list of dead letters."""
    source = delivery.source
    told = f"What {source.name} ({source.kind}) sent"
    letters.bury("delivery", delivery.pk, project=source.project_id, what=told, why=error)


def _claim(delivery_id: uuid.UUID | str) -> Delivery | None:
    """Take the delivery for one attempt: due again only after the lease. None when somebody else has it."""
    now = database_now()
    due = Delivery.objects.filter(pk=delivery_id, verdict=Verdict.RECEIVED, due_at__lte=now)
    if not due.update(attempts=F("attempts") + 1, due_at=now + LEASE):
        return None
    return Delivery.objects.select_related("source__project").get(pk=delivery_id)


def _prolong(delivery: Delivery) -> None:
    """Thousands of alerts take minutes: meanwhile nobody else shall begin with them."""
    going_on = Delivery.objects.filter(pk=delivery.pk, verdict=Verdict.RECEIVED)
    going_on.update(due_at=database_now() + LEASE)


def _finish(delivery: Delivery, words: Sequence[str], failures: Sequence[str]) -> None:
    def write(**columns: object) -> None:
        batch = Batch()
        batch.update(Delivery, delivery.pk, columns, where={"verdict": Verdict.RECEIVED})
        batch.execute_at_once()

    failures = [storable(failure) for failure in failures]
    explanation = _bounded([*words, *failures])
    if not failures:
        write(verdict=Verdict.PROCESSED, explanation=explanation, error="", due_at=None)
        delivery.verdict, delivery.explanation = Verdict.PROCESSED, explanation
        return
    error = failures[0][:1_000]
    if delivery.attempts >= MAX_ATTEMPTS:
        write(explanation=explanation)
        bury(delivery, f"Given up after {delivery.attempts} attempts: {error}")
        return
    delay = timedelta(seconds=min(300.0, 2.0 ** min(delivery.attempts, 9)))
    write(explanation=explanation, error=error, due_at=database_now() + delay)


def _bounded(words: list[str]) -> list[str]:
    if len(words) <= MAX_EXPLANATIONS:
        return words
    return [*words[:MAX_EXPLANATIONS], f"... and {len(words) - MAX_EXPLANATIONS:,} more"]
