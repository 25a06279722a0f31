"""``runbook.start``: a step starts a run of another runbook and does not wait for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.db import transaction

from handrail.accounts.actors import actor_of_user
from handrail.shared.actors import Actor, Channel
from handrail.shared.errors import Forbidden, HandrailError, Invalid, NotFound
from handrail.shared.ids import short
from handrail.shared.links import run_url
from runbooks import runs
from runbooks.execution.admission import lock_key
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.models import Run, Runbook
from runbooks.refusals import NotAdmitted
from runbooks.steps.base import INVALID_INPUT, Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader

LONGEST_SLUG = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInputs:
    """Which runbook of the same project, and with what."""

    runbook: str
    inputs: Mapping[str, Json] = field(default_factory=dict)


class RunbookStart(Action[StartInputs]):
    """Starts a run as the starter of the run that it is called from, through the same admission as every start."""

    spec = ActionSpec(
        name="runbook.start",
        title="Start a runbook",
        description=(
            "Starts a run of the live version of another runbook of the project, for the same incident, and does not "
            "wait for it: what it does is not undone with this run, and not stopped with it. It acts as whoever "
            "started this run. A repeated attempt finds the run of the first one. The other runbook's `concurrency` "
            "and `rate_limit` count, and so does the guard against loops. To wait for the run and use its outputs, "
            "use a step of the kind `runbook`."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["runbook"],
            "properties": {
                "runbook": {"type": "string", "minLength": 1, "description": "The id (slug) of the runbook."},
                "inputs": {"type": "object", "description": "Its inputs, by name."},
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        outputs={
            "run": "The id of the run.",
            "url": "Its page.",
            "state": "Its state when it was started, such as running or pending.",
            "created": "Whether it is a new run, and not one that goes on already (boolean).",
            "reason": "Why it waits, or which run serves instead.",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> StartInputs:
        """A slug, and inputs for it."""
        reader = Reader(rendered)
        slug = reader.text("runbook").strip()
        given = reader.mapping("inputs")
        reader.done()
        if not slug or len(slug) > LONGEST_SLUG:
            raise InvalidInputs(f"`runbook` is the id of a runbook: 1 to {LONGEST_SLUG} characters.")
        return StartInputs(runbook=slug, inputs=given)

    def preview(self, inputs: StartInputs, context: ActionContext) -> str:
        """Which runbook, with what."""
        given = ", ".join(f"{name}={value}" for name, value in inputs.inputs.items())
        return f"Start the runbook {inputs.runbook}{f' with {given[:300]}' if given else ''}, without waiting for it"

    def target(self, inputs: StartInputs) -> str:
        """The runbook."""
        return f"runbook {inputs.runbook}"

    def execute(self, inputs: StartInputs, context: ActionContext) -> Outcome:
        """Start it once; a repetition finds the run that is there."""
        run = (
            Run.objects.select_related("starter", "incident", "alert")
            .filter(pk=uuid.UUID(context.run_id))
            .first()
        )
        if run is None or run.starter is None:
            return Failure("permission_denied", "Whoever started this run has no account any more.")
        runbooks = Runbook.objects.select_related("live", "project")
        found = runbooks.filter(project=context.project, slug=inputs.runbook).first()
        if found is None:
            return Failure("not_found", f"The project has no runbook {inputs.runbook!r}.")
        actor = actor_of_user(run.starter, Channel.AUTOMATION)
        actor = replace(actor, on_behalf_of=f"run {short(run.pk)}", trace_id=run.trace_id)
        try:
            # What a secret was rendered into must not be kept as the input of a run.
            given = replace(inputs, inputs=context.redactor.mapping(dict(inputs.inputs)))
            result = _start_once(found, given, actor, run, f"step:{context.idempotency_key}"[:300])
        except (Forbidden, NotFound) as error:
            return Failure("permission_denied", error.message)
        except Invalid as error:
            return Failure(INVALID_INPUT, error.message)
        except HandrailError as error:
            return Failure(error.code, error.message)
        context.log("log", f"Run {short(result.run.pk)} of {inputs.runbook}: {result.reason or 'started.'}")
        return Success(
            {
                "run": str(result.run.pk),
                "url": run_url(result.run.pk),
                "state": str(result.run.state),
                "created": result.created,
                "reason": result.reason,
            }
        )


def _start_once(runbook: Runbook, inputs: StartInputs, actor: Actor, by: Run, key: str) -> runs.StartResult:
    """Start the run, or find the one that an earlier attempt of the step has started, over or not."""
    try:
        with transaction.atomic():
            lock_key(runbook.pk, "step", key)
            earlier = Run.objects.filter(runbook=runbook, dedupe_key=key).order_by("created_at").first()
            if earlier is not None:
                return runs.StartResult(
                    earlier, created=True, reason="An earlier attempt of this step started it."
                )
            return runs.start(
                runbook,
                inputs=dict(inputs.inputs),
                actor=actor,
                dedupe_key=key,
                incident=by.incident,
                alert=by.alert,
                mode=by.mode,
                priority=by.priority,
                automatic=True,
            )
    except NotAdmitted as refusal:
        # What was kept of it within the transaction was undone with it.
        refusal.keep(actor)
        raise
