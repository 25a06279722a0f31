"""The form that asks for typed inputs, and what came back of it: for starting runs and for approvals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.http import QueryDict

from handrail.shared.errors import HandrailError
from runbooks.language.definition import InputSpec, Json
from runbooks.language.inputs import FormField, InputProblem, check_inputs, coerce_form, form_fields

PREFIX = "input."
"""Before the name of an input in a form, so that no input can be taken for a field of the page."""


@dataclass(frozen=True, slots=True)
class AskedInput:
    """A field to render, and what is wrong with it."""

    field: FormField
    problem: str = ""

    @property
    def name(self) -> str:
        """Its name in the form."""
        return f"{PREFIX}{self.field.name}"

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return f"input-{self.field.name}"


@dataclass(frozen=True, slots=True)
class TypedForm:
    """A whole form: its fields, its values as far as they could be read, and what concerns all of it."""

    fields: Sequence[AskedInput]
    values: Mapping[str, Json] = field(default_factory=dict)
    problem: str = ""
    is_valid: bool = True


def empty_form(specs: Sequence[InputSpec], given: Mapping[str, str] | None = None) -> TypedForm:
    """The form before anybody filled it in; ``given`` pre-fills single fields."""
    texts = dict(given or {})
    fields = [AskedInput(form_fields([spec], texts if spec.name in texts else None)[0]) for spec in specs]
    return TypedForm(fields)


def filled_form(specs: Sequence[InputSpec], posted: QueryDict) -> TypedForm:
    """The form as it came back: typed values, and a message at each field that does not fit."""
    texts = _texts(posted)
    values = coerce_form(specs, texts)
    _, problems = check_inputs(specs, values)
    return _told(specs, texts, values, problems)


def typed_form(specs: Sequence[InputSpec], posted: QueryDict) -> TypedForm:
    """The form as it came back with a button that does not need it: what was typed stands, nothing is told of it."""
    return TypedForm([AskedInput(asked) for asked in form_fields(specs, _texts(posted))])


def refused_form(specs: Sequence[InputSpec], posted: QueryDict, error: HandrailError | None) -> TypedForm:
    """The form again after an action refused it for a reason that is not a single field's."""
    form = filled_form(specs, posted)
    if error is None or not form.is_valid:
        return form
    return TypedForm(form.fields, form.values, error.message, is_valid=False)


def _texts(posted: QueryDict) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): str(value) for name, value in posted.items() if name.startswith(PREFIX)
    }


def _told(
    specs: Sequence[InputSpec],
    texts: Mapping[str, str],
    values: Mapping[str, Json],
    problems: Sequence[InputProblem],
) -> TypedForm:
    by_name: dict[str, str] = {}
    for problem in problems:
        hint = f" Did you mean {problem.suggestion!r}?" if problem.suggestion else ""
        by_name.setdefault(problem.name, f"{problem.message}{hint}")
    fields = [AskedInput(asked, by_name.pop(asked.name, "")) for asked in form_fields(specs, texts)]
    return TypedForm(fields, values, " ".join(by_name.values()), is_valid=not problems)
