"""``incident.update``: says on the run's own incident what the runbook has found out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from handrail.incidents.lifecycle import Status
from handrail.incidents.run_updates import MAX_NOTE, VERBS, RunUpdate, update_by_run
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader


@dataclass(frozen=True, slots=True)
class IncidentInputs:
    """What to change; None leaves it."""

    status: Status | None
    severity: Sev | None
    note: str | None


class IncidentUpdate(Action[IncidentInputs]):
    """Changes the incident that the run belongs to, all of it or nothing."""

    spec = ActionSpec(
        name="incident.update",
        title="Update the incident",
        description="Sets the status or the severity of the run's incident, or adds a note to its timeline.",
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "status": {"enum": [str(status) for status in VERBS], "description": "The new status."},
                "severity": {"enum": [str(severity) for severity in Sev], "description": "The new severity."},
                "note": {"type": "string", "description": "Words for the timeline."},
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        outputs={
            "status": "The incident's status afterwards.",
            "severity": "The incident's severity afterwards.",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> IncidentInputs:
        """At least one change, in words that incidents know."""
        reader = Reader(rendered)
        status = reader.optional_text("status")
        severity = reader.optional_text("severity")
        note = reader.optional_text("note")
        reader.done()
        if status is not None and status not in {str(known) for known in VERBS}:
            raise InvalidInputs(f"`status` must be one of {', '.join(VERBS)}.")
        if severity is not None and severity.upper() not in {str(known) for known in Sev}:
            raise InvalidInputs(f"`severity` must be one of {', '.join(Sev)}.")
        if note is not None and not 1 <= len(note.strip()) <= MAX_NOTE:
            raise InvalidInputs(f"`note` must have 1 to {MAX_NOTE:,} characters.")
        if status is None and severity is None and note is None:
            raise InvalidInputs("Give `status`, `severity` or `note`.")
        return IncidentInputs(
            status=None if status is None else Status(status),
            severity=None if severity is None else Sev(severity.upper()),
            note=note,
        )

    def preview(self, inputs: IncidentInputs, context: ActionContext) -> str:
        """The changes, one after the other."""
        changes = [f"status to {inputs.status}"] if inputs.status else []
        changes += [f"severity to {inputs.severity}"] if inputs.severity else []
        changes += [f"note: {' '.join(inputs.note.split())[:200]}"] if inputs.note else []
        return "Incident: " + ", ".join(changes)

    def target(self, inputs: IncidentInputs) -> str:
        """The run's incident."""
        return "incident"

    def execute(self, inputs: IncidentInputs, context: ActionContext) -> Outcome:
        """One transaction; a repetition finds everything done."""
        if context.incident_id is None:
            return Failure("no_incident", "This run belongs to no incident: start it from one.")
        update = RunUpdate(
            status=inputs.status,
            severity=inputs.severity,
            # What a secret was rendered into must not reach the timeline.
            note=None if inputs.note is None else context.redactor.text(inputs.note),
            key=f"run:{context.idempotency_key}",
        )
        actor = Actor.system(context.actor_name or "runbook")
        try:
            incident = update_by_run(uuid.UUID(context.incident_id), update, actor=actor)
        except HandrailError as error:
            return Failure(error.code, error.message)
        return Success({"status": str(incident.status), "severity": str(incident.severity)})
