"""Receives a delivery: proves the sender, recognises repetitions, stores it, and only then makes alerts of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError, transaction
from django.db.models import F

from handrail.alerts import kinds
from handrail.alerts.errors import IntakeError, UnusableSecret
from handrail.alerts.events import AlertEvent, AlertStatus, Told
from handrail.alerts.models import Alert, Delivery, Source
from handrail.alerts.processing import LEASE, Verdict, bury, process
from handrail.alerts.settings import read_settings
from handrail.alerts.sources import Credentials, TrustLevel
from handrail.alerts.text import bounded
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, estimated_now
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.writing import insert
from handrail.shared.wakeups import wake
from handrail.vault.references import SecretNotFound, resolve

LARGE_BODY = 128 * 1024
"""From this size on, a worker reads a proven sender's body, and the sender only waits for its storage.

Who only knows the address is told at once when the body is wrong: theirs is read in the request (0.4 s at most
for a megabyte of Alertmanager's), and only its alerts are made by a worker."""

MANY_ALERTS = 50
"""From this number on, a worker makes the alerts."""

PROCESS_TASK = "alerts.process_delivery"
MAX_HEADERS = 60
MAX_HEADER = 1_000
_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")


_KNOWN = Compiled(
    lambda source, provider_id, digest: Delivery.objects.filter(
        source=source, provider_id=provider_id, body_sha256=digest
    ).order_by("-received_at")[:1]
)
_SAME_BODY = Compiled(
    lambda source, digest: (
        Delivery.objects.select_for_update(no_key=True, of=("self",))
        .filter(source=source, body_sha256=digest, body_removed_at=None)
        .order_by("-received_at")[:1]
    )
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told: the stored delivery, and what has become of it so far."""

    delivery: Delivery
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _Incoming:
    """One request, proven and hashed. ``events`` is None where a worker will read the body."""

    source: Source
    body: bytes
    headers: dict[str, str]
    trust: TrustLevel
    provider_id: str
    digest: str
    trace_id: str
    events: Sequence[Told] | None = None
    problem: str = ""


def receive(source: Source, body: bytes, headers: Mapping[str, str], *, actor: Actor) -> Receipt:
    """Take one delivery of an enabled source. When this returns, the delivery is committed.

    Whom to believe decides what happens to a body that is not understood. From a sender who proved itself
    (signature or token) it is stored as a dead letter: nothing of theirs is lost. From one who only knows the
    address the error is raised and nothing is stored, so that a wrongly configured sender sees a 4xx.

    Raises NotProven, BodyTooLarge, UnreadableBody, NotThisSource, MappingError; UnusableSecret when the
    source's own secret cannot be read.
    """
    kind = kinds.get(source.kind)
    sent = dict(headers)
    trust = kind.verify(body, sent, _credentials(source))
    incoming = _Incoming(
        source=source,
        body=body,
        headers=_kept(sent),
        trust=trust,
        provider_id=bounded((kind.delivery_id(sent, body) or "").strip(), 200),
        digest=hashlib.sha256(body).hexdigest(),
        trace_id=actor.trace_id,
    )
    known = _known_delivery(incoming)
    if known is not None:
        return Receipt(_seen_again(known, ()), duplicate=True)
    return _store(_read(incoming, sent))


def _credentials(source: Source) -> Credentials:
    """The source's secret, resolved now, so that a rotated one is picked up."""
    settings = read_settings(source.settings)
    if not source.secret_reference:
        return Credentials(username=settings.username)
    try:
        secret = resolve(source.secret_reference, source.project)
    except SecretNotFound as error:
        raise UnusableSecret(f"the source's secret cannot be read: {error.message}") from None
    return Credentials(secrets=(secret,), username=settings.username)


def _read(incoming: _Incoming, headers: Mapping[str, str]) -> _Incoming:
    """The same with its events, or with the problem that makes it a dead letter."""
    if len(incoming.body) > LARGE_BODY and incoming.trust is not TrustLevel.ADDRESS:
        return incoming
    source = incoming.source
    settings = read_settings(source.settings)
    try:
        events = kinds.get(source.kind).parse(incoming.body, headers, settings.mapping)
    except IntakeError as error:
        if incoming.trust is TrustLevel.ADDRESS:
            raise
        return replace(incoming, problem=str(error))
    return replace(incoming, events=events)


def _store(incoming: _Incoming) -> Receipt:
    """Store it, commit, then go on: at once with an ordinary one, by a worker with a large one."""
    events = incoming.events
    at_once = events is not None and len(events) < MANY_ALERTS
    with transaction.atomic():
        repeated = _repeated_body(incoming)
        if repeated is not None:
            return Receipt(repeated, duplicate=True)
        try:
            # Only a provider's id can be there already; without one there is nothing to come back from.
            with transaction.atomic(savepoint=bool(incoming.provider_id)):
                delivery = _new_delivery(incoming, at_once=at_once)
        except IntegrityError:
            known = _known_delivery(incoming)
            if known is not None:
                # The provider's retry of the same delivery was faster.
                return Receipt(_seen_again(known, ()), duplicate=True)
            # One id for different bodies: it names nothing. Losing an alert over it would be worse.
            delivery = _new_delivery(replace(incoming, provider_id=""), at_once=at_once)
        if incoming.problem:
            bury(delivery, incoming.problem)
            delivery.verdict = Verdict.DEAD
        elif not at_once:
            wake(PROCESS_TASK, str(delivery.pk))
    if at_once and events is not None:
        process(delivery, events)
    return Receipt(delivery)


def _new_delivery(incoming: _Incoming, *, at_once: bool) -> Delivery:
    moment = estimated_now() or database_now()
    delivery = Delivery(
        source=incoming.source,
        received_at=moment,
        last_seen_at=moment,
        body=incoming.body,
        body_sha256=incoming.digest,
        headers=incoming.headers,
        provider_id=incoming.provider_id,
        trust=incoming.trust.value,
        attempts=1 if at_once else 0,
        # Should this process die in the middle, the sweeper takes over when the lease ends.
        due_at=moment + LEASE if at_once else moment,
        trace_id=incoming.trace_id[:32],
    )
    insert(delivery)
    return delivery


def _known_delivery(incoming: _Incoming) -> Delivery | None:
    """The first key: the provider's own id, as long as it names the same bytes."""
    if not incoming.provider_id:
        return None
    return _KNOWN.first(incoming.source.pk, incoming.provider_id, incoming.digest)


def _repeated_body(incoming: _Incoming) -> Delivery | None:
    """The earlier delivery of the same bytes, when they still say nothing new; moved to "seen now".

    The same body does say something new when another one came in between: a sender without times fires,
    resolves, and fires again with the very same bytes. And a message with the same bytes is another message.
    """
    if incoming.provider_id or (incoming.events is None and not incoming.problem):
        return None
    earlier = _SAME_BODY.first(incoming.source.pk, incoming.digest)
    if earlier is None:
        return None
    if incoming.problem:
        return _seen_again(earlier, ()) if earlier.verdict == Verdict.DEAD else None
    if earlier.verdict != Verdict.PROCESSED:
        return None
    alerts = _still_said_by(earlier, incoming.events or ())
    return None if alerts is None else _seen_again(earlier, alerts)


def _still_said_by(earlier: Delivery, told: Sequence[Told]) -> list[Alert] | None:
    """The open alerts whose last word is this body; None when applying it would change something."""
    events = [event for event in told if isinstance(event, AlertEvent)]
    if len(events) < len(told):
        return None
    names = {event.fingerprint for event in events}
    open_alerts = {
        alert.fingerprint: alert
        for alert in Alert.objects.filter(source=earlier.source_id, fingerprint__in=names, is_open=True).only(
            "fingerprint", "last_delivery_id"
        )
    }
    last_words = {event.fingerprint: event.status for event in events}
    for event in events:
        alert = open_alerts.get(event.fingerprint)
        if event.status is AlertStatus.RESOLVED:
            if alert is not None and last_words[event.fingerprint] is AlertStatus.RESOLVED:
                return None
        elif alert is None or alert.last_delivery_id != earlier.pk:
            return None
    return list(open_alerts.values())


def _seen_again(delivery: Delivery, alerts: Sequence[Alert]) -> Delivery:
    """One update a table, however many alerts: a storm of repetitions stays cheap."""
    moment = database_now()
    Delivery.objects.filter(pk=delivery.pk).update(last_seen_at=moment, seen_count=F("seen_count") + 1)
    if alerts:
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts], is_open=True).update(
            last_seen_at=moment, seen_count=F("seen_count") + 1
        )
    return delivery


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are stored for a later reading, without credentials, bounded."""
    kept = {
        bounded(name, 100): bounded(value, MAX_HEADER)
        for name, value in headers.items()
        if name.lower() not in _SECRET_HEADERS
    }
    return dict(list(kept.items())[:MAX_HEADERS])
