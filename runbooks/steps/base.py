"""What an action type is: a spec for the language, typed inputs, a preview, and one way to execute."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import ClassVar, Generic, TypeVar

from handrail.accounts.models import Project
from handrail.shared.jsonvalue import shallow
from handrail.vault.redaction import Redactor
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Json
from runbooks.language.expressions import MAX_DATA_DEPTH

InputsT = TypeVar("InputsT")

INVALID_INPUT = "invalid_input"
"""The error code of inputs that the action cannot accept; retrying never helps."""


NOT_INSTALLED = "not_installed"
"""The error code of an action whose library this worker lacks."""


class InvalidInputs(Exception):
    """The rendered inputs are not what the action accepts; the message says what to change."""


def without(module: str, extra: str) -> str:
    """The words for an action whose library is not installed; empty when ``module`` can be imported."""
    if find_spec(module) is not None:
        return ""
    return f"It needs the library {module}: run pip install 'handrail[{extra}]' on the workers and the web."


@dataclass(frozen=True, slots=True)
class Success:
    """The call did what it should. ``outputs`` are plain JSON data; :meth:`Call.execute` redacts them."""

    outputs: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The call did not do what it should.

    ``code`` is stable (``timeout``, ``permission_denied``...); ``retry`` reads it and ``retryable`` only.
    ``uncertain``: the effect may have happened all the same. ``retry_after``: seconds the target asked for.
    ``outputs`` are what is known in spite of the failure, such as an exit code.
    """

    code: str
    message: str
    retryable: bool = False
    uncertain: bool = False
    retry_after: float | None = None
    outputs: dict[str, Json] = field(default_factory=dict)


Outcome = Success | Failure


def _nobody_listens() -> None:
    """What a heartbeat does where nothing waits for it, such as in a preview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """What surrounds one attempt.

    ``idempotency_key`` is ``<run>:<node>:<iteration>``, constant over attempts. ``deadline_monotonic``: the
    moment of :func:`time.monotonic` after which the attempt must have ended. ``log(stream, text)`` takes
    ``log``, ``stdout`` or ``stderr``. ``cancelled()`` is asked often and cheap. ``heartbeat()`` tells that it goes
    on, for steps with a ``heartbeat``; whatever it logs tells that, too. ``register_process_group``
    is told the id of a process group while it lives, and None afterwards, so that the worker can kill it.
    ``secrets`` are the runbook's own, resolved for this attempt and known to ``redactor``.
    """

    project: Project
    run_id: str
    node: str
    idempotency_key: str
    deadline_monotonic: float
    redactor: Redactor
    log: Callable[[str, str], None]
    cancelled: Callable[[], bool]
    register_process_group: Callable[[int | None], None]
    iteration: str = ""
    attempt: int = 1
    incident_id: str | None = None
    actor_name: str = ""
    starter_id: uuid.UUID | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    heartbeat: Callable[[], None] = _nobody_listens
    mode: str = "enforce"
    pool: str = "default"


class Action(ABC, Generic[InputsT]):
    """An action type. Subclasses are stateless: one instance serves every call of the process."""

    spec: ClassVar[ActionSpec]

    @abstractmethod
    def read(self, rendered: Mapping[str, Json]) -> InputsT:
        """The typed inputs, or :class:`InvalidInputs`."""

    @abstractmethod
    def preview(self, inputs: InputsT, context: ActionContext) -> str:
        """One line that tells a person what would be done; no secret, nothing sent anywhere."""

    @abstractmethod
    def target(self, inputs: InputsT) -> str:
        """What is acted upon, in a word: a connection, a host, an incident."""

    @abstractmethod
    def execute(self, inputs: InputsT, context: ActionContext) -> Outcome:
        """Do it once. Failures are returned, not raised."""

    def bind(self, rendered: Mapping[str, Json]) -> Call[InputsT]:
        """A call of this action with these inputs, or :class:`InvalidInputs`."""
        return Call(self, self.read(rendered))

    def run(self, rendered: Mapping[str, Json], context: ActionContext) -> Outcome:
        """Execute with these inputs; inputs that cannot be accepted are a failure like others."""
        if self.spec.unavailable:
            return Failure(NOT_INSTALLED, self.spec.unavailable)
        try:
            call = self.bind(rendered)
        except InvalidInputs as error:
            return Failure(INVALID_INPUT, str(error))
        return call.execute(context)


def _clean(outputs: dict[str, Json], redactor: Redactor) -> dict[str, Json]:
    """Without secrets, and without what lies so deep that no expression reads it: Python itself would not."""
    near = shallow(outputs, MAX_DATA_DEPTH)
    return redactor.mapping(near) if isinstance(near, dict) else {}


@dataclass(frozen=True, slots=True)
class Call(Generic[InputsT]):
    """An action with its typed inputs: what the worker previews and executes without knowing the type."""

    action: Action[InputsT]
    inputs: InputsT

    def preview(self, context: ActionContext) -> str:
        """One line that tells a person what would be done, secrets masked."""
        return context.redactor.text(self.action.preview(self.inputs, context))

    def target(self) -> str:
        """What is acted upon."""
        return self.action.target(self.inputs)

    def execute(self, context: ActionContext) -> Outcome:
        """Do it once; whatever the action says, in its log and in its outcome, has lost its secrets."""
        heard = context.log

        def log(stream: str, text: str) -> None:
            heard(stream, context.redactor.text(text))

        outcome = self.action.execute(self.inputs, replace(context, log=log))
        if isinstance(outcome, Success):
            return Success(_clean(outcome.outputs, context.redactor))
        return replace(
            outcome,
            message=context.redactor.text(outcome.message),
            outputs=_clean(outcome.outputs, context.redactor),
        )
