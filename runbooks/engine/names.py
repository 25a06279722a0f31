"""What expressions may read of a run: inputs, steps, run, alert, incident, and the names of the place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.engine.state import Key, RunState, deeper, key_of
from runbooks.engine.transitions import RunStatus
from runbooks.language.definition import ForEachStep, Json, Runbook

NOWHERE = Key("")
"""What reads on behalf of the whole run, outside of every iteration."""


class Steps(Mapping[str, Mapping[str, Json]]):
    """Every step of the runbook, built only when an expression reads it."""

    _loops: tuple[str, ...]
    _indices: tuple[str, ...]

    def __init__(self, definition: Runbook, state: RunState, reader: Key) -> None:
        """``definition`` says which names there are. In an iteration its own steps are seen, and no other's."""
        self._definition = definition
        self._state = state
        self._loops = self._indices = ()
        if reader.iteration:
            self._loops = definition.places[reader.node].loops
            self._indices = tuple(reader.iteration.split("."))

    def __getitem__(self, step_id: str) -> Mapping[str, Json]:
        """What is known of one step; KeyError for a name that the runbook does not have, or not here."""
        loops = self._definition.places[step_id].loops
        if not self._sees(loops):
            raise KeyError(step_id)
        return self._facts(step_id, ".".join(self._indices[: len(loops)]))

    def _facts(self, step_id: str, iteration: str) -> dict[str, Json]:
        node = self._state.node(key_of(step_id, iteration))
        return {
            "status": node.status.value,
            "outputs": node.outputs if node.items is None else self._gathered(step_id, iteration),
            "decision": node.decision or None,
            "error": dict(node.error) if node.error else None,
            "attempts": node.attempt,
        }

    def _gathered(self, loop_id: str, iteration: str) -> Json:
        """What became of each item of a loop that has ended, in the order of the items; null before."""
        node = self._state.node(key_of(loop_id, iteration))
        if not node.ended:
            return None
        around = (*self._definition.places[loop_id].loops, loop_id)
        ids = [step_id for step_id, place in self._definition.places.items() if place.loops == around]
        found: list[Json] = []
        for n, item in enumerate(node.items or ()):
            place = deeper(iteration, n)
            one = self._state.node(key_of(loop_id, place))
            found.append(
                {
                    "item": item,
                    "status": one.status.value,
                    "error": dict(one.error) if one.error else None,
                    "outputs": {step_id: self._facts(step_id, place)["outputs"] for step_id in ids},
                }
            )
        return found

    def _sees(self, loops: tuple[str, ...]) -> bool:
        return loops == self._loops[: len(loops)]

    def __iter__(self) -> Iterator[str]:
        return (step_id for step_id, place in self._definition.places.items() if self._sees(place.loops))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _status(state: RunState) -> str:
    """What `run.status` says: from `on_failure` on, how the run is going to end."""
    if state.ended or state.phase == "steps":
        return state.status.value
    if state.cancelling:
        return RunStatus.CANCELLED.value
    return RunStatus.SUCCEEDED.value if state.error is None else RunStatus.FAILED.value


def names(definition: Runbook, state: RunState, key: str = "", **local: object) -> dict[str, object]:
    """The names of an expression of the step ``key``, or of the runbook.

    ``local`` adds ``self``, ``result`` or ``secrets``.
    """
    reader = Key.parse(key) if "[" in key else NOWHERE
    found: dict[str, object] = {
        "inputs": state.inputs,
        "steps": Steps(definition, state, reader),
        "run": {
            **state.run,
            "status": _status(state),
            "started_at": state.started_at.isoformat() if state.started_at else None,
        },
        "alert": state.alert or {},
        "incident": state.incident or {},
    }
    if reader.iteration:
        found.update(_items(definition, state, reader))
    if local:
        found.update(local)
    return found


def _items(definition: Runbook, state: RunState, reader: Key) -> dict[str, Json]:
    """The items through which the loops around the reader go, by the names that they have there."""
    indices = reader.iteration.split(".")
    found: dict[str, Json] = {}
    for depth, (loop_id, n) in enumerate(zip(definition.places[reader.node].loops, indices, strict=False)):
        loop = definition.step(loop_id)
        items = state.node(key_of(loop_id, ".".join(indices[:depth]))).items or ()
        if isinstance(loop, ForEachStep) and int(n) < len(items):
            found[loop.as_] = items[int(n)]
    return found


def masked_secrets(definition: Runbook) -> dict[str, str]:
    """The secrets as they stand in rows, digests and previews: their references, never their values."""
    return {name: f"<secret {reference}>" for name, reference in definition.secrets.items()}
