"""``noop``: does nothing, and says what it was given; for rehearsals and for joining branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, InvalidInputs, Outcome, Success


@dataclass(frozen=True, slots=True)
class NoopInputs:
    """What comes out again."""

    outputs: dict[str, Json] = field(default_factory=dict)


class Noop(Action[NoopInputs]):
    """Succeeds at once; its outputs are the input ``outputs``."""

    spec = ActionSpec(
        name="noop",
        title="Do nothing",
        description="Touches nothing and succeeds. What is given as `outputs` becomes the step's outputs.",
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "outputs": {"type": "object", "description": "Becomes the step's outputs, unchanged."},
            },
        },
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
    )

    def read(self, rendered: Mapping[str, Json]) -> NoopInputs:
        """Only ``outputs``, a mapping."""
        outputs = rendered.get("outputs", {})
        if not isinstance(outputs, dict):
            raise InvalidInputs("`outputs` must be a mapping of names to values.")
        return NoopInputs(outputs)

    def preview(self, inputs: NoopInputs, context: ActionContext) -> str:
        """Says that nothing happens."""
        return "Does nothing" + (f", returns {', '.join(sorted(inputs.outputs))}" if inputs.outputs else "")

    def target(self, inputs: NoopInputs) -> str:
        """Nothing is acted upon."""
        return "nothing"

    def execute(self, inputs: NoopInputs, context: ActionContext) -> Outcome:
        """Give the outputs back."""
        return Success(dict(inputs.outputs))
