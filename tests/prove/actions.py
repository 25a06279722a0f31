"""Actions whose effect is a line in the ledger, and one that looks whether it stands there."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handrail.outbox.models import OutboxMessage
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, Outcome, Success
from tests.prove.ledger import BEGIN, DID, END, SENT, Ledger

LEDGER_VARIABLE = "PROVE_LEDGER"

CHANNEL = "prove"
"""Of the outbox: what is sent becomes a line, too."""


def send(message: OutboxMessage) -> None:
    """The sender of the channel."""
    ledger().write(SENT, str(message.payload["run"]))


def ledger() -> Ledger:
    return Ledger(Path(os.environ[LEDGER_VARIABLE]))


@dataclass(frozen=True, slots=True)
class EffectInputs:
    seconds: float
    fails: bool
    says: int


class EffectOnce(Action[EffectInputs]):
    spec = ActionSpec(
        name="prove.effect",
        title="Write into the ledger",
        inputs_schema={
            "type": "object",
            "properties": {
                "seconds": {"type": "number"},
                "fails": {"type": "boolean"},
                "says": {"type": "integer"},
            },
        },
        effect=Effect.REVERSIBLE,
        may_be_idempotent=True,
        outputs={"key": "The key under which it stands in the ledger."},
    )

    def read(self, rendered: Mapping[str, Json]) -> EffectInputs:
        seconds = rendered.get("seconds", 0.0)
        says = rendered.get("says", 0)
        return EffectInputs(
            float(seconds) if isinstance(seconds, (int, float)) else 0.0,
            rendered.get("fails") is True,
            int(says) if isinstance(says, (int, float)) else 0,
        )

    def preview(self, inputs: EffectInputs, context: ActionContext) -> str:
        return "Writes a line into the ledger"

    def target(self, inputs: EffectInputs) -> str:
        return "ledger"

    def execute(self, inputs: EffectInputs, context: ActionContext) -> Outcome:
        """Begin, take a moment, do it, take a moment, end: a kill finds it at each of these."""
        # The key alone does not tell a compensation from its step.
        key = f"{context.idempotency_key}"
        book = ledger()
        book.write(BEGIN, key)
        if inputs.fails:
            book.write(END, key)
            return Failure("refused", "It always fails: the runbook wants it so.")
        time.sleep(inputs.seconds or random.uniform(0, 0.003))
        book.write(DID, key)
        time.sleep(random.uniform(0, 0.002))
        book.write(END, key)
        # Noise: what is kept once would not need room.
        return Success({"key": key, "said": os.urandom(inputs.says // 2).hex()})


@dataclass(frozen=True, slots=True)
class LookInputs:
    key: str


class Look(Action[LookInputs]):
    spec = ActionSpec(
        name="prove.look",
        title="Look into the ledger",
        inputs_schema={"type": "object", "properties": {"key": {"type": "string"}}},
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
        outputs={"done": "Whether it happened."},
    )

    def read(self, rendered: Mapping[str, Json]) -> LookInputs:
        return LookInputs(str(rendered.get("key", "")))

    def preview(self, inputs: LookInputs, context: ActionContext) -> str:
        return "Looks into the ledger"

    def target(self, inputs: LookInputs) -> str:
        return "ledger"

    def execute(self, inputs: LookInputs, context: ActionContext) -> Outcome:
        return Success({"done": ledger().times(DID, inputs.key) > 0})
