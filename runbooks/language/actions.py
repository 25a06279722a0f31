"""What the language knows of an action type: enough to check a document without running anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runbooks.language.definition import Effect, Json, Template

EffectOf = Callable[[Mapping[str, Template]], tuple[Effect, bool]]
"""From a step's unrendered ``with`` to its (effect, idempotent): such as ``GET`` -> (read, True)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """An action type, as the language sees it.

    ``inputs_schema`` is a JSON Schema of an object; templates are checked against it once rendered.
    ``effect`` and ``idempotent`` are the defaults, narrowed by ``effect_of`` where the inputs tell more.
    ``may_be_idempotent``: an author may declare ``idempotent: true``, because the action sends a key that
    the target can honour. ``static_inputs``: inputs in which ``${{ }}`` is a validation error.
    ``outputs``: each output and its description. ``encodings``: inputs whose interpolated values are encoded
    by :func:`runbooks.language.encodings.encode`, keyed by the input's name. ``unavailable``: why this process
    cannot perform it, such as a library that is not installed, and what to do; empty when it can.
    ``connection_kind``: the kind of connection that its input ``connection`` must name, if it has one.
    """

    name: str
    title: str
    inputs_schema: Mapping[str, Json]
    effect: Effect
    idempotent: bool = False
    may_be_idempotent: bool = False
    static_inputs: frozenset[str] = frozenset()
    outputs: Mapping[str, str] = field(default_factory=dict)
    effect_of: EffectOf | None = None
    encodings: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    unavailable: str = ""
    connection_kind: str = ""

    def effect_for(self, with_: Mapping[str, Template]) -> tuple[Effect, bool]:
        """The effect and the idempotence of a call with these inputs, before they are rendered."""
        if self.effect_of is None:
            return self.effect, self.idempotent
        return self.effect_of(with_)


CAREFUL = {Effect.READ: 0, Effect.REVERSIBLE: 1, Effect.IRREVERSIBLE: 2}
"""How careful one must be with an effect; a runbook may only raise it."""
