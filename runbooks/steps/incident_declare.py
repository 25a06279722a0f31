"""``incident.declare``: a run that belongs to no incident opens one, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from handrail.accounts.actors import actor_of_user
from handrail.accounts.models import User
from handrail.incidents.run_reports import RunReport, declare_by_run
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor, Channel
from handrail.shared.errors import HandrailError
from handrail.shared.links import incident_url
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader

LONGEST_TITLE = 300
LONGEST_KEY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareInputs:
    """What is wrong, how bad it is, and where."""

    title: str
    severity: Sev
    service: str = ""
    environment: str = ""
    key: str = ""


class IncidentDeclare(Action[DeclareInputs]):
    """Opens an incident; what follows an incident, such as its triggers and messages, follows this one too."""

    spec = ActionSpec(
        name="incident.declare",
        title="Declare an incident",
        description=(
            "Opens an incident from a run that belongs to none, such as a scheduled check. A repeated attempt finds "
            "the incident of the first one. With `key`, steps of any runs find the incident that is open under it. "
            "A run that belongs to an incident is refused, so that no incident begets another: use "
            "`incident.update` there."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["title"],
            "properties": {
                "title": {
                    "type": "string",
                    "minLength": 1,
                    "description": "One line that says what is wrong.",
                },
                "severity": {
                    "enum": [str(severity) for severity in Sev],
                    "default": str(Sev.SEV3),
                    "description": "How bad it is.",
                },
                "service": {"type": "string", "description": "The slug of a service."},
                "environment": {"type": "string", "description": "The slug of an environment."},
                "key": {
                    "type": "string",
                    "maxLength": LONGEST_KEY,
                    "description": "What it is about: while an incident of this key is open, it is the one.",
                },
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        outputs={
            "id": "The incident's id.",
            "name": "Its name, such as INC-7.",
            "url": "Its page.",
            "opened": "Whether this attempt has opened it (boolean).",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> DeclareInputs:
        """A title, and words that the project knows."""
        reader = Reader(rendered)
        title = " ".join(reader.text("title").split())
        severity, key = reader.text("severity", str(Sev.SEV3)).upper(), reader.text("key", "")
        if not title:
            raise InvalidInputs("`title` is empty: say in one line what is wrong.")
        if severity not in {str(known) for known in Sev}:
            raise InvalidInputs(f"`severity` must be one of {', '.join(Sev)}.")
        if len(key) > LONGEST_KEY:
            raise InvalidInputs(f"`key` has at most {LONGEST_KEY} characters.")
        inputs = DeclareInputs(
            title=title[:LONGEST_TITLE],
            severity=Sev(severity),
            service=reader.text("service", ""),
            environment=reader.text("environment", ""),
            key=key,
        )
        reader.done()
        return inputs

    def preview(self, inputs: DeclareInputs, context: ActionContext) -> str:
        """How bad, and what."""
        return f"Declare a {inputs.severity} incident: {inputs.title[:200]}"

    def target(self, inputs: DeclareInputs) -> str:
        """An incident that may not be there yet."""
        return "incident"

    def execute(self, inputs: DeclareInputs, context: ActionContext) -> Outcome:
        """One transaction; a repetition finds everything done."""
        if context.incident_id is not None:
            words = "This run belongs to an incident already: use incident.update."
            return Failure("has_incident", words)
        report = RunReport(
            # What a secret was rendered into must not reach the timeline.
            title=context.redactor.text(inputs.title),
            severity=inputs.severity,
            step_key=context.idempotency_key,
            key=inputs.key,
            service=inputs.service,
            environment=inputs.environment,
        )
        actor = Actor.system(context.actor_name or "runbook")
        try:
            incident, opened = declare_by_run(context.project, report, actor=actor, starter=_starter(context))
        except HandrailError as error:
            return Failure(error.code, error.message)
        context.log("log", f"{incident} {'was opened' if opened else 'was open already'}.")
        return Success(
            {
                "id": str(incident.pk),
                "name": str(incident),
                "url": incident_url(incident.pk),
                "opened": opened,
            }
        )


def _starter(context: ActionContext) -> Actor | None:
    """Who started the run, and so what its incident starts."""
    account = User.objects.filter(pk=context.starter_id).first() if context.starter_id is not None else None
    return actor_of_user(account, Channel.AUTOMATION) if account is not None else None
