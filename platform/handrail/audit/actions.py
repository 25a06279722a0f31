"""Writing the audit trail: one entry an act, in the act's own transaction. No audit, no act."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypedDict, Unpack

from django.db import connection, models

from handrail.audit.appending import append
from handrail.audit.chain import INSTALLATION, digest
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.jsonvalue import JsonValue, storable, storable_text
from handrail.shared.notes import Note, note, notes


@dataclass(frozen=True, slots=True)
class AuditObject:
    """What an act was done to, as the trail names it: it may be gone when somebody reads."""

    type: str
    id: str
    name: str = ""


class Particulars(TypedDict, total=False):
    """What else an entry may say.

    ``project_id`` is taken from the object where it has one. ``data`` is kept as it is: no secrets, nothing
    large. ``before`` and ``after`` are kept as digests alone.
    """

    project_id: object
    data: Mapping[str, JsonValue]
    before: JsonValue
    after: JsonValue


def record(
    actor: Actor, action: str, obj: AuditObject | models.Model, **particulars: Unpack[Particulars]
) -> AuditEntry:
    """Append one entry to the installation's chain.

    Call it last in the act's transaction: it locks the head of the chain, which comes last in the lock
    order, so that acts wait for one another only for the rest of their commit. ``action`` is like
    ``run.stopped``. Raises RuntimeError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(f"{action} must be recorded inside the transaction of the act")
    named = obj if isinstance(obj, AuditObject) else _named(obj)
    project = particulars.get("project_id") or _project_of(obj)
    before, after = particulars.get("before"), particulars.get("after")
    entry = AuditEntry(
        chain=INSTALLATION,
        at=now(),
        actor_kind=actor.kind.value,
        actor_id="" if actor.user_id is None else str(actor.user_id),
        actor_name=_text(actor.name, 200),
        on_behalf_of=_text(actor.on_behalf_of, 200),
        channel=actor.channel.value,
        action=action,
        object_type=_text(named.type, 40),
        object_id=_text(named.id, 60),
        object_name=_text(named.name, 200),
        project_id=_text(str(project or ""), 40),
        data=storable(particulars.get("data") or {}),
        before_digest="" if before is None else digest(before),
        after_digest="" if after is None else digest(after),
        request_id=_text(actor.request_id, 64),
        address=_text(actor.address, 64),
        trace_id=_text(actor.trace_id, 32),
    )
    if _last.get():
        note(_Recorded(entry))
    else:
        append(entry)
    return entry


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded(Note):
    """An entry that has no place in the chain yet; forgotten with the savepoint that is rolled back."""

    entry: AuditEntry


_last: ContextVar[bool] = ContextVar("recorded_last", default=False)


@contextmanager
def recorded_last() -> Iterator[None]:
    """Append what is recorded within at the end, in its order: an act of several acts takes all other locks before.

    Inside the transaction, with nothing around it that would commit after an exception.
    """
    if _last.get():
        yield
        return
    known = notes(_Recorded)
    reset = _last.set(True)
    try:
        yield
    finally:
        _last.reset(reset)
    for recorded in notes(_Recorded)[len(known) :]:
        append(recorded.entry)


def _named(obj: models.Model) -> AuditObject:
    return AuditObject(type=obj._meta.model_name or "", id=str(obj.pk), name=str(obj))


def _project_of(obj: AuditObject | models.Model) -> object:
    if isinstance(obj, AuditObject):
        return ""
    return obj.pk if obj._meta.label == "accounts.Project" else getattr(obj, "project_id", "")


def _text(text: str, limit: int) -> str:
    return storable_text(text)[:limit]
