"""What all actions on a cluster have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.errors import NotFound
from integrations.kubernetes.client import Cluster, Refused, allowed_connection
from integrations.kubernetes.kind import GET
from runbooks.language.actions import EffectOf
from runbooks.language.definition import Effect, Json, Template
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome
from runbooks.steps.http import failure_of
from runbooks.steps.inputs import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInputs:
    """Where. An empty ``namespace`` is for what concerns nodes."""

    connection: str
    namespace: str = ""
    dry_run: bool = False


ClusterInputsT = TypeVar("ClusterInputsT", bound=ClusterInputs)


class ClusterAction(Action[ClusterInputsT]):
    """An action on a cluster: asked of the connection first, its refusals told in codes."""

    verb: ClassVar[str] = GET

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver, in tests."""
        self._dialer = dialer

    @abstractmethod
    def summary(self, inputs: ClusterInputsT) -> str:
        """What would be done, in words."""

    @abstractmethod
    def perform(self, cluster: Cluster, inputs: ClusterInputsT, context: ActionContext) -> Outcome:
        """Do it. Refused and OutgoingError become failures."""

    def needs(self, inputs: ClusterInputsT) -> str:
        """The verb that the connection must allow."""
        return self.verb

    def preview(self, inputs: ClusterInputsT, context: ActionContext) -> str:
        """The words, and whether the connection would refuse it."""
        words = self.summary(inputs) + f" of {inputs.connection}" + (" (dry run)" if inputs.dry_run else "")
        try:
            allowed_connection(context, inputs.connection, self.needs(inputs), inputs.namespace)
        except (NotFound, OutgoingError) as error:
            return f"{words} would be refused: {error.message}"
        return words

    def target(self, inputs: ClusterInputsT) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: ClusterInputsT, context: ActionContext) -> Outcome:
        """Perform it within what the connection allows."""
        try:
            connection = allowed_connection(context, inputs.connection, self.needs(inputs), inputs.namespace)
            return self.perform(Cluster(connection, context, self._dialer), inputs, context)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        except Refused as refusal:
            return refusal.failure


CONNECTION: dict[str, Json] = {"type": "string", "description": "The name of a `kubernetes` connection."}
NAMESPACE: dict[str, Json] = {"type": "string", "description": "The namespace."}
OBJECT_NAME: dict[str, Json] = {"type": "string", "description": "The object's name."}
DRY_RUN: dict[str, Json] = {
    "type": "boolean",
    "default": False,
    "description": "Only ask the server what would become of it; written as `true` itself, the call is a read.",
}


def kind_of(kinds: tuple[str, ...], default: str | None = None) -> dict[str, Json]:
    """The schema of ``kind``."""
    schema: dict[str, Json] = {"enum": [*kinds], "description": "What it is."}
    return schema if default is None else {**schema, "default": default}


def schema(required: list[str], **properties: Json) -> dict[str, Json]:
    """The schema of an action's inputs."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["connection", *required],
        "properties": {"connection": CONNECTION, **properties},
    }


def unless_dry(effect: Effect, *, idempotent: bool) -> EffectOf:
    """The effect of a call; one whose ``dry_run`` is written as true is a read."""

    def effect_of(with_: Mapping[str, Template]) -> tuple[Effect, bool]:
        return (Effect.READ, True) if with_.get("dry_run") is True else (effect, idempotent)

    return effect_of


def read_flag(reader: Reader, name: str) -> bool:
    """``true`` or ``false``; false when it is missing."""
    value = reader.raw(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInputs(f"`{name}` must be true or false.")
    return bool(value)
