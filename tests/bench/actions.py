"""The action ``bench.mark``: tells the benchmark that a step executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, InvalidInputs, Outcome, Success
from tests.bench.marks import tell


@dataclass(frozen=True, slots=True)
class MarkInputs:
    mark: str


class Mark(Action[MarkInputs]):
    spec = ActionSpec(
        name="bench.mark",
        title="Tell the benchmark",
        description="Sends the mark to the benchmark that measures this installation.",
        inputs_schema={"type": "object", "properties": {"mark": {"type": "string"}}, "required": ["mark"]},
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
    )

    def read(self, rendered: Mapping[str, Json]) -> MarkInputs:
        mark = rendered.get("mark")
        if not isinstance(mark, str):
            raise InvalidInputs("`mark` must be a text.")
        return MarkInputs(mark)

    def preview(self, inputs: MarkInputs, context: ActionContext) -> str:
        return f"Tells {inputs.mark}"

    def target(self, inputs: MarkInputs) -> str:
        return "benchmark"

    def execute(self, inputs: MarkInputs, context: ActionContext) -> Outcome:
        tell(inputs.mark)
        return Success({})
