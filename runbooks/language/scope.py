"""What the names in an expression mean at its place in a document, and what is knowably wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runbooks.language.actions import ActionSpec
from runbooks.language.kinds import Kind
from runbooks.language.outline import Outline, StepOutline, text_of, why_not_before, why_repeated
from runbooks.language.problems import listed, nearest
from runbooks.language.syntax import FUNCTIONS, Comparison, Operand, Syntax
from runbooks.language.tokens import MACROS

STEP_FIELDS = ("status", "outputs", "decision", "error", "attempts")
ALERT_FIELDS = [
    "id",
    "title",
    "description",
    "status",
    "severity",
    "fingerprint",
    "labels",
    "annotations",
    "value",
    "source",
    "service",
    "environment",
    "started_at",
    "url",
]
INCIDENT_FIELDS = ["id", "number", "title", "severity", "status", "service", "environment", "key", "url"]
WEBHOOK_FIELDS = ["id", "source", "trust", "received_at", "headers", "body"]
SEVERITIES = ["critical", "error", "warning", "info", "unknown"]
RUN_FIELDS = ("id", "status", "url", "mode", "started_at")
STEP_STATUSES = [
    "pending",
    "waiting",
    "ready",
    "claimed",
    "executing",
    "awaiting_approval",
    "awaiting_human",
    "succeeded",
    "failed",
    "timed_out",
    "skipped",
    "cancelled",
    "uncertain",
    "compensating",
    "compensated",
    "compensation_failed",
]
RUN_STATUSES = ["pending", "running", "waiting", "paused", "cancelling", "succeeded", "failed", "cancelled"]
DECISIONS = ["approved", "rejected", "expired", "void", "cancelled"]
MODES = ["shadow", "suggest", "enforce"]
_FIELDS: Mapping[str, Iterable[str]] = {
    "run": RUN_FIELDS,
    "alert": ALERT_FIELDS,
    "incident": INCIDENT_FIELDS,
    "webhook": WEBHOOK_FIELDS,
}
ERROR_FIELDS = ("code", "message", "retryable")

_INPUT_TYPES = {
    "string": "string",
    "enum": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "duration": "number",
    "object": "mapping",
    "array": "list",
}
_ORDERED = {"<", "<=", ">", ">="}
_NUMBERS = {"integer", "number"}

WHERE = {
    "inputs": "in steps, outcome, concurrency and rate_limit",
    "secrets": "inside 'with' (never in conditions or in what is shown)",
    "steps": "in steps and outcome",
    "run": "in steps and outcome",
    "alert": "in steps, in outcome and in triggers on alerts",
    "incident": "in steps, in outcome and in triggers on alerts or incidents",
    "webhook": "in triggers on webhooks",
    "result": "in 'until' of wait_until and 'done_when' of probe",
    "self": "in compensate (self.outputs)",
    "item": "inside for_each (or what its 'as' says)",
}

STEP_ROOTS = frozenset({"inputs", "steps", "run", "alert", "incident"})
"""What every expression of a step, and the outcome, may read."""

Finding = tuple[int, int, str, "str | None"]
"""Offsets of start and end, what is wrong, and the name that was probably meant."""


@dataclass(frozen=True, slots=True)
class InputFacts:
    """What is known of an input without its document being right."""

    type: str | None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """Everything that a document declares. ``complete`` is False when it was cut short by a syntax error."""

    inputs: Mapping[str, InputFacts]
    secrets: frozenset[str]
    outline: Outline
    actions: Mapping[str, ActionSpec]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """The place of an expression.

    ``caller`` is the step or part whose action's outputs ``result`` and ``self`` have.

    ``end_of_run``: every step but those of ``finally`` may be read.
    """

    names: Names
    roots: frozenset[str]
    step: StepOutline | None = None
    uses: str | None = None
    extra: Mapping[str, Iterable[str]] = field(default_factory=dict)

    @classmethod
    def of_step(cls, names: Names, step: StepOutline, *more: str, uses: str | None = None) -> Scope:
        """The place of an expression of a step; ``more`` names are known there besides the usual ones."""
        items = {loop.item_name for loop in step.loops()}
        return cls(names, STEP_ROOTS | frozenset(more) | items, step, uses)

    def findings(self, syntax: Syntax) -> list[Finding]:
        """All that is wrong with an expression here."""
        found: list[Finding] = []
        unknown: set[tuple[str, ...]] = set()
        for reference in syntax.references:
            wrong = self._wrong(reference.path)
            if wrong is not None:
                found.append((reference.start, reference.end, *wrong))
                unknown.add(reference.path)
        for call in syntax.calls:
            if call.name not in FUNCTIONS and call.name not in MACROS:
                known = FUNCTIONS | MACROS
                found.append(
                    (call.start, call.end, f"There is no function '{call.name}'.", nearest(call.name, known))
                )
        for comparison in syntax.comparisons:
            if {comparison.left.reference, comparison.right.reference} & unknown:
                continue
            wrong = self._mismatch(comparison)
            if wrong is not None:
                found.append((comparison.start, comparison.end, *wrong))
        return found

    def type_of(self, operand: Operand) -> str | None:
        """The type of an operand, as far as it is known."""
        return operand.type if operand.reference is None else self._type(operand.reference)

    def _wrong(self, path: tuple[str, ...]) -> tuple[str, str | None] | None:
        root = path[0]
        if root not in self.roots:
            if root in WHERE:
                return f"'{root}' is known only {WHERE[root]}.", None
            known = (
                f" Known here: {listed(sorted(self.roots))}." if self.roots else " No names are known here."
            )
            return f"The name '{root}' is not known.{known}", nearest(root, self.roots)
        match root:
            case "inputs" | "secrets" if self.names.complete:
                known_names = self.names.inputs if root == "inputs" else self.names.secrets
                return _unknown(root.removesuffix("s"), path, 1, known_names)
            case "run" | "alert" | "incident" | "webhook":
                return _unknown(f"field of {root}", path, 1, _FIELDS[root])
            case "self":
                wrong = _unknown("field of self", path, 1, ("outputs",))
                return wrong or self._wrong_output(path[1:], self._outputs_of_call(self.uses))
            case "result":
                return self._wrong_output(path, self._outputs_of_call(self.uses))
            case "steps":
                return self._wrong_step(path)
        return None

    def _wrong_step(self, path: tuple[str, ...]) -> tuple[str, str | None] | None:
        if len(path) == 1:
            return None
        step = self.names.outline.by_id.get(path[1])
        if step is None:
            known = [name for name in self.names.outline.by_id if self._readable(name)]
            if not self.names.complete:
                return None
            return f"There is no step '{path[1]}'.", nearest(path[1], known) or nearest(
                path[1], self.names.outline.by_id
            )
        late = self._late(step)
        if late is not None:
            return f"The step '{step.id}' {late}: it cannot be read here.", None
        return _unknown("field of a step", path, 2, STEP_FIELDS) or self._wrong_field(step, path)

    def _readable(self, name: str) -> bool:
        return self._late(self.names.outline.by_id[name]) is None

    def _late(self, step: StepOutline) -> str | None:
        if self.step is not None:
            return why_not_before(self.step, step)
        return "belongs to 'finally', which runs later" if step.section == 2 else why_repeated(step)

    def _wrong_field(self, step: StepOutline, path: tuple[str, ...]) -> tuple[str, str | None] | None:
        if len(path) < 3 or step.kind is None:
            return None
        if path[2] == "decision" and step.kind.name != "approval":
            return f"Only approvals have a decision; '{step.id}' is of the kind '{step.kind.name}'.", None
        if path[2] == "error":
            return _unknown("field of an error", path, 3, ERROR_FIELDS)
        if path[2] == "outputs":
            if not _has_outputs(step.kind):
                return f"'{step.id}' has no outputs: it is of the kind '{step.kind.name}'.", None
            return self._wrong_output(path[2:], self._outputs(step))
        return None

    def _outputs(self, step: StepOutline) -> Iterable[str]:
        if step.kind is not None and step.kind.outputs is not None:
            node = step.node.children.get(step.kind.outputs)
            return tuple(node.keys) if node is not None else ()
        return self._outputs_of_call(text_of(step.node, "uses"))

    def _outputs_of_call(self, uses: str | None) -> Iterable[str]:
        spec = self.names.actions.get(uses or "")
        return spec.outputs if spec is not None else ()

    def _wrong_output(self, path: tuple[str, ...], known: Iterable[str]) -> tuple[str, str | None] | None:
        return _unknown("output", path, 1, known) if known else None

    def _type(self, path: tuple[str, ...]) -> str | None:
        match path:
            case ("inputs", name):
                facts = self.names.inputs.get(name)
                return _INPUT_TYPES.get(facts.type or "") if facts else None
            case ("alert", name) if name not in ("labels", "annotations"):
                return "string"
            case ("alert", "labels" | "annotations", _):
                return "string"
            case ("incident", name):
                return "integer" if name == "number" else "string"
            case ("run", _) | ("steps", _, "status" | "decision") | ("steps", _, "error", "code" | "message"):
                return "string"
            case ("steps", _, "attempts"):
                return "integer"
        return None

    def _mismatch(self, comparison: Comparison) -> tuple[str, str | None] | None:
        left, right = self.type_of(comparison.left), self.type_of(comparison.right)
        if comparison.operator in ("==", "!="):
            for here, there in ((comparison.left, comparison.right), (comparison.right, comparison.left)):
                wrong = self._never_equal(here, there)
                if wrong is not None:
                    return wrong
        if left is None or right is None or left == right or "null" in (left, right):
            return None
        if {left, right} <= _NUMBERS:
            if comparison.operator in ("==", "!=", *_ORDERED):
                return None
            return (
                f"'{comparison.operator}' cannot mix an integer and a number: write double(x) or int(x).",
                None,
            )
        if comparison.operator in ("+", "-") and "timestamp" in (left, right):
            return None
        if comparison.operator in ("==", "!="):
            return f"{a_kind(left).capitalize()} is never equal to {a_kind(right)}.", None
        return f"'{comparison.operator}' cannot take {a_kind(left)} and {a_kind(right)}.", None

    def _never_equal(self, reference: Operand, literal: Operand) -> tuple[str, str | None] | None:
        if reference.reference is None or literal.text is None:
            return None
        options = self._options(reference.reference)
        if not options or literal.text in options:
            return None
        what = ".".join(reference.reference)
        return f"'{what}' is never '{literal.text}'; it is {listed(options)}.", nearest(literal.text, options)

    def _options(self, path: tuple[str, ...]) -> Iterable[str]:
        match path:
            case ("inputs", name):
                facts = self.names.inputs.get(name)
                return facts.values if facts else ()
            case ("steps", _, "status"):
                return STEP_STATUSES
            case ("steps", _, "decision"):
                return DECISIONS
            case ("run", "mode"):
                return MODES
            case ("alert", "severity"):
                return SEVERITIES
            case ("run", "status"):
                return RUN_STATUSES
        return ()


def _has_outputs(kind: Kind) -> bool:
    return kind.calls or kind.outputs is not None or kind.repeats or kind.any_outputs


def a_kind(kind: str) -> str:
    """A type in words for a sentence."""
    return {
        "string": "text",
        "mapping": "a mapping",
        "integer": "an integer",
        "boolean": "true or false",
    }.get(kind, f"a {kind}")


def _unknown(
    what: str, path: tuple[str, ...], at: int, known: Iterable[str]
) -> tuple[str, str | None] | None:
    if len(path) <= at or path[at] in known:
        return None
    names = sorted(known)
    suggestion = nearest(path[at], names)
    hint = f" Known: {listed(names)}." if names and suggestion is None and len(names) <= 20 else ""
    return f"There is no {what} '{path[at]}'.{hint}", suggestion
