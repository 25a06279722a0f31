"""``pagerduty.*``: page people, say that somebody is at it, say that it is over, and leave a note."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.errors import NotFound
from integrations.pagerduty.client import Refused, Rest, send_event
from integrations.pagerduty.kind import EVENTS_NAME, REST_NAME
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.http import failure_of
from runbooks.steps.inputs import Reader

SEVERITIES = ("critical", "error", "warning", "info")
STATUSES = ("acknowledged", "resolved")
LONGEST_SUMMARY = 1024
LONGEST_KEY = 255
LONGEST_NOTE = 25_000
_INCIDENT = re.compile(r"[A-Za-z0-9]{1,40}\Z")
_STATIC = frozenset({"connection"})
_EVENTS: dict[str, Json] = {"type": "string", "description": "The name of a `pagerduty_events` connection."}
_REST: dict[str, Json] = {"type": "string", "description": "The name of a `pagerduty` connection."}
_KEY: dict[str, Json] = {
    "type": "string",
    "maxLength": LONGEST_KEY,
    "description": "Which alert is meant; without it, the run's incident's own, or the run's.",
}
_ID: dict[str, Json] = {
    "type": "string",
    "description": "PagerDuty's id of the incident, such as `Q1AB2C3D4E5F6G`.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDutyInputs:
    """Through which connection."""

    connection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInputs(PagerDutyInputs):
    """Which alert; ``payload`` only for a trigger."""

    dedup_key: str = ""
    payload: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentInputs(PagerDutyInputs):
    """An incident of PagerDuty's, and what to say of it."""

    incident: str
    text: str


InputsT = TypeVar("InputsT", bound=PagerDutyInputs)


class PagerDutyAction(Action[InputsT]):
    """A call of PagerDuty: its refusals told in codes."""

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver or other certificate authorities, in tests."""
        self._dialer = dialer

    @abstractmethod
    def perform(self, inputs: InputsT, context: ActionContext) -> Outcome:
        """Do it. Refused, NotFound and OutgoingError become failures."""

    def target(self, inputs: InputsT) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: InputsT, context: ActionContext) -> Outcome:
        """One or two calls."""
        try:
            return self.perform(inputs, context)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        except Refused as refusal:
            return refusal.failure


class EventAction(PagerDutyAction[EventInputs]):
    """An event: PagerDuty takes those of one ``dedup_key`` for one alert, so a repetition changes nothing."""

    event: ClassVar[str]

    def read(self, rendered: Mapping[str, Json]) -> EventInputs:
        """The key alone."""
        reader = Reader(rendered)
        inputs = EventInputs(connection=reader.text("connection"), dedup_key=_key(reader))
        reader.done()
        return inputs

    def preview(self, inputs: EventInputs, context: ActionContext) -> str:
        """Which alert."""
        return f"{self.event.capitalize()} the alert {_key_of(inputs, context)} through {inputs.connection}"

    def perform(self, inputs: EventInputs, context: ActionContext) -> Outcome:
        """Hand the event over."""
        key = _key_of(inputs, context)
        event: dict[str, Json] = {"event_action": self.event, "dedup_key": key}
        if inputs.payload:
            event |= {"client": "Handrail", "payload": context.redactor.mapping(inputs.payload)}
        answer = send_event(inputs.connection, event, context, self._dialer)
        return Success({"dedup_key": answer.get("dedup_key", key)})


def _event_spec(name: str, title: str, description: str) -> ActionSpec:
    return ActionSpec(
        name=f"pagerduty.{name}",
        title=title,
        description=description,
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection"],
            "properties": {"connection": _EVENTS, "dedup_key": _KEY},
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=EVENTS_NAME,
        outputs={"dedup_key": "The key of the alert."},
    )


class Trigger(EventAction):
    """Opens an alert, which pages whoever is on call."""

    event = "trigger"
    spec = ActionSpec(
        name="pagerduty.trigger",
        title="Page people",
        description=(
            "Triggers an alert of a PagerDuty service. Steps of runs of the same incident share a `dedup_key` unless "
            "they give one, so a repeated trigger pages nobody twice, and `pagerduty.resolve` closes it."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "summary"],
            "properties": {
                "connection": _EVENTS,
                "summary": {
                    "type": "string",
                    "minLength": 1,
                    "description": f"What is wrong; {LONGEST_SUMMARY:,} characters are kept.",
                },
                "source": {"type": "string", "default": "handrail", "description": "Where it is wrong."},
                "severity": {"enum": [*SEVERITIES], "default": "critical", "description": "How bad it is."},
                "component": {"type": "string", "description": "The part that is affected."},
                "group": {"type": "string", "description": "What it belongs to."},
                "class": {"type": "string", "description": "The kind of event."},
                "details": {"type": "object", "description": "Anything else that helps."},
                "dedup_key": _KEY,
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=EVENTS_NAME,
        outputs={"dedup_key": "The key of the alert."},
    )

    def read(self, rendered: Mapping[str, Json]) -> EventInputs:
        """A summary, and what else helps."""
        reader = Reader(rendered)
        summary = reader.text("summary").strip()
        severity = reader.text("severity", "critical")
        if not summary:
            raise InvalidInputs("`summary` is empty: say what is wrong.")
        if severity not in SEVERITIES:
            raise InvalidInputs(f"`severity` must be one of {', '.join(SEVERITIES)}.")
        payload: dict[str, Json] = {
            "summary": summary[:LONGEST_SUMMARY],
            "source": reader.text("source", "handrail"),
            "severity": severity,
        }
        for name in ("component", "group", "class"):
            if value := reader.optional_text(name):
                payload[name] = value
        if details := reader.mapping("details"):
            payload["custom_details"] = details
        inputs = EventInputs(connection=reader.text("connection"), dedup_key=_key(reader), payload=payload)
        reader.done()
        return inputs

    def preview(self, inputs: EventInputs, context: ActionContext) -> str:
        """Who would be paged about what."""
        payload = inputs.payload
        words = " ".join(str(payload["summary"]).split())[:200]
        return f"Page through {inputs.connection} ({payload['severity']}): {words}"


class Acknowledge(EventAction):
    """Says that somebody is at it."""

    event = "acknowledge"
    spec = _event_spec(
        "acknowledge", "Acknowledge an alert", "Says that somebody works on it: escalation stops."
    )


class Resolve(EventAction):
    """Says that it is over."""

    event = "resolve"
    spec = _event_spec(
        "resolve", "Resolve an alert", "Says that it is over. What was never triggered is left alone."
    )


class Note(PagerDutyAction[IncidentInputs]):
    """Leaves a note at an incident, once."""

    spec = ActionSpec(
        name="pagerduty.note",
        title="Leave a note at a PagerDuty incident",
        description="Adds a note. One with the very same text is not added again, so a repeated attempt leaves one.",
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "incident", "note"],
            "properties": {
                "connection": _REST,
                "incident": _ID,
                "note": {"type": "string", "minLength": 1, "description": "What to write."},
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=REST_NAME,
        outputs={"id": "The note's id.", "added": "Whether this attempt added it (boolean)."},
    )

    def read(self, rendered: Mapping[str, Json]) -> IncidentInputs:
        """An incident and words."""
        reader = Reader(rendered)
        note = reader.text("note").strip()
        if not 1 <= len(note) <= LONGEST_NOTE:
            raise InvalidInputs(f"`note` must have 1 to {LONGEST_NOTE:,} characters.")
        inputs = IncidentInputs(connection=reader.text("connection"), incident=_incident(reader), text=note)
        reader.done()
        return inputs

    def preview(self, inputs: IncidentInputs, context: ActionContext) -> str:
        """Where, and the beginning of the words."""
        return f"Note at PagerDuty's {inputs.incident}: {' '.join(inputs.text.split())[:200]}"

    def perform(self, inputs: IncidentInputs, context: ActionContext) -> Outcome:
        """Look whether it is there, then add it."""
        rest = Rest(inputs.connection, context, self._dialer)
        path = f"/incidents/{inputs.incident}/notes"
        content = context.redactor.text(inputs.text)
        there = rest.call("GET", path).get("notes")
        for note in there if isinstance(there, list) else []:
            if isinstance(note, dict) and note.get("content") == content:
                return Success({"id": note.get("id"), "added": False})
        added = rest.call("POST", path, {"note": {"content": content}}).get("note")
        return Success({"id": added.get("id") if isinstance(added, dict) else None, "added": True})


class Status(PagerDutyAction[IncidentInputs]):
    """Acknowledges or resolves an incident by its id."""

    spec = ActionSpec(
        name="pagerduty.status",
        title="Change a PagerDuty incident's status",
        description="Acknowledges or resolves an incident by PagerDuty's id, in the name of the connection's `from`.",
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "incident", "status"],
            "properties": {
                "connection": _REST,
                "incident": _ID,
                "status": {"enum": [*STATUSES], "description": "The new status."},
            },
        },
        effect=Effect.IRREVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=REST_NAME,
        outputs={"status": "The status afterwards."},
    )

    def read(self, rendered: Mapping[str, Json]) -> IncidentInputs:
        """An incident and one of two statuses."""
        reader = Reader(rendered)
        status = reader.text("status")
        if status not in STATUSES:
            raise InvalidInputs(f"`status` must be one of {', '.join(STATUSES)}.")
        inputs = IncidentInputs(connection=reader.text("connection"), incident=_incident(reader), text=status)
        reader.done()
        return inputs

    def preview(self, inputs: IncidentInputs, context: ActionContext) -> str:
        """Which incident becomes what."""
        return f"Mark PagerDuty's {inputs.incident} as {inputs.text}"

    def perform(self, inputs: IncidentInputs, context: ActionContext) -> Outcome:
        """Set it; one that is so already stays so."""
        body: Json = {"incident": {"type": "incident_reference", "status": inputs.text}}
        rest = Rest(inputs.connection, context, self._dialer)
        changed = rest.call("PUT", f"/incidents/{inputs.incident}", body).get("incident")
        return Success({"status": changed.get("status") if isinstance(changed, dict) else inputs.text})


def _incident(reader: Reader) -> str:
    incident = reader.text("incident")
    if not _INCIDENT.match(incident):
        raise InvalidInputs("`incident` must be PagerDuty's id of an incident: letters and digits.")
    return incident


def _key(reader: Reader) -> str:
    key = reader.text("dedup_key", "")
    if len(key) > LONGEST_KEY:
        raise InvalidInputs(f"`dedup_key` has at most {LONGEST_KEY} characters.")
    return key


def _key_of(inputs: EventInputs, context: ActionContext) -> str:
    """Constant over the runs of an incident, so that whoever resolves means what somebody triggered."""
    if inputs.dedup_key:
        return inputs.dedup_key
    if context.incident_id:
        return f"handrail:incident:{context.incident_id}"
    return f"handrail:run:{context.run_id}"
