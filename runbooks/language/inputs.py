"""Typed inputs: what a value must be to be accepted, whoever gives it, and the form that asks for it.

Used when a run starts, when an approval asks for inputs, and for the literal inputs of triggers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbooks.language.definition import InputSpec, InputType, Json
from runbooks.language.durations import WORDS, seconds, words
from runbooks.language.patterns import fully_matches, pattern_error
from runbooks.language.problems import listed, nearest

MAX_TEXT = 10_000
"""Characters of one text, unless the input says less."""
MAX_ITEMS = 1_000
MAX_TOTAL = 256 * 1024
"""Characters of all inputs as JSON."""
MAX_DEPTH = 16
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class InputProblem:
    """What is wrong with one input; ``name`` is empty when it concerns all of them."""

    name: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """One line, such as ``region: 'eu1' is not one of eu-1 or us-1. Did you mean 'eu-1'?``."""
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.name}: {self.message}{hint}" if self.name else self.message


class _RefusedError(Exception):
    """A value is not acceptable; the text says why, ``suggestion`` what was probably meant."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def check_inputs(
    specs: Sequence[InputSpec], given: Mapping[str, Json]
) -> tuple[dict[str, Json], tuple[InputProblem, ...]]:
    """The values a run gets, and everything that is wrong with what was given.

    Every declared input is in the values: given, by default, or None. Durations are seconds and numbers
    floats.
    """
    values: dict[str, Json] = {}
    problems: list[InputProblem] = []
    known = {spec.name: spec for spec in specs}
    for name in given:
        if name not in known:
            hint = "" if known else " It takes none."
            problems.append(
                InputProblem(str(name)[:60], f"There is no such input.{hint}", nearest(str(name), known))
            )
    for spec in specs:
        value = given.get(spec.name)
        if value is None:
            values[spec.name] = spec.default if spec.has_default else None
            if spec.required and not spec.has_default:
                problems.append(InputProblem(spec.name, "This is required."))
            continue
        try:
            values[spec.name] = accepted(spec, value)
        except _RefusedError as refusal:
            problems.append(InputProblem(spec.name, str(refusal), refusal.suggestion))
    if not problems and len(json.dumps(values, ensure_ascii=False)) > MAX_TOTAL:
        problems.append(InputProblem("", f"The inputs are longer than {MAX_TOTAL} characters in all."))
    return values, tuple(problems)


def problem_with(spec: InputSpec, value: Json) -> InputProblem | None:
    """What is wrong with one value, or None."""
    try:
        accepted(spec, value)
    except _RefusedError as refusal:
        return InputProblem(spec.name, str(refusal), refusal.suggestion)
    return None


def accepted(spec: InputSpec, value: Json) -> Json:
    """The value as a run sees it; a value of another type is refused, not converted."""
    match spec.type:
        case InputType.STRING | InputType.ENUM:
            return _text(spec, value)
        case InputType.INTEGER | InputType.NUMBER | InputType.DURATION:
            return _number(spec, value)
        case InputType.BOOLEAN:
            if not isinstance(value, bool):
                raise _RefusedError("This must be true or false.")
            return value
        case InputType.OBJECT | InputType.ARRAY:
            return _structure(spec, value)


def _text(spec: InputSpec, value: Json) -> str:
    if not isinstance(value, str):
        raise _RefusedError(f"This must be text, not {_what(value)}.")
    _check_characters(value)
    if spec.type is InputType.ENUM:
        if value not in spec.values:
            raise _RefusedError(
                f"'{value[:60]}' is not one of {listed(spec.values)}.", nearest(value, spec.values)
            )
        return value
    most = spec.max_length or MAX_TEXT
    if len(value) > most:
        raise _RefusedError(f"This has {len(value)} characters; {most} are allowed.")
    if spec.pattern is not None and not fully_matches(spec.pattern, value):
        raise _RefusedError(f"'{value[:60]}' does not match {spec.pattern}.")
    return value


def _check_characters(value: str) -> None:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise _RefusedError("This holds characters that are not text (a NUL or half of a pair).")


def _number(spec: InputSpec, value: Json) -> float | int:
    found: float | int
    if spec.type is InputType.DURATION:
        found = _seconds(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _RefusedError(f"This must be {_NUMBER_WORDS[spec.type]}, not {_what(value)}.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise _RefusedError("This must be a finite number.")
    elif abs(value) > _LARGEST:
        raise _RefusedError("This number does not fit 64 bits.")
    elif spec.type is InputType.NUMBER:
        found = float(value)
    elif isinstance(value, float):
        raise _RefusedError(f"This must be a whole number, not {value}.")
    else:
        found = value
    if spec.min is not None and found < spec.min:
        raise _RefusedError(f"This must be at least {_shown(spec, spec.min)}.")
    if spec.max is not None and found > spec.max:
        raise _RefusedError(f"This must be at most {_shown(spec, spec.max)}.")
    return found


_NUMBER_WORDS = {InputType.INTEGER: "a whole number", InputType.NUMBER: "a number"}


def _seconds(value: Json) -> float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            return seconds(value)
        except ValueError as error:
            raise _RefusedError(f"This is {error}.") from None
    raise _RefusedError(f"This must be {WORDS}, not {_what(value)}.")


def _shown(spec: InputSpec, bound: float) -> str:
    if spec.type is InputType.DURATION:
        return words(bound)
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def _structure(spec: InputSpec, value: Json) -> Json:
    wrong = not isinstance(value, dict if spec.type is InputType.OBJECT else list)
    if wrong or not isinstance(value, (dict, list)):
        wanted = "a mapping" if spec.type is InputType.OBJECT else "a list"
        raise _RefusedError(f"This must be {wanted}, not {_what(value)}.")
    most = spec.max_length or MAX_ITEMS
    if len(value) > most:
        raise _RefusedError(f"This has {len(value)} items; {most} are allowed.")
    _check_inside(value)
    return value


def _check_inside(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                _check_characters(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise _RefusedError("Numbers in this must be finite.")
            elif isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise _RefusedError(f"This is nested deeper than {MAX_DEPTH} levels.")


def _what(value: Json) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return {str: "text", list: "a list", dict: "a mapping"}.get(type(value), "that")


def spec_problems(spec: InputSpec) -> list[tuple[str, str]]:
    """What is wrong with a declaration itself: pairs of its field and a message."""
    found: list[tuple[str, str]] = []
    kind = spec.type
    if kind is InputType.ENUM and not spec.values:
        found.append(("type", "An enum needs 'values'."))
    if kind is not InputType.ENUM and spec.values:
        found.append(("values", f"'values' belong to an enum, not to a {kind}."))
    if spec.pattern is not None:
        error = pattern_error(spec.pattern)
        if kind is not InputType.STRING:
            found.append(("pattern", f"A pattern belongs to a string, not to a {kind}."))
        elif error is not None:
            found.append(("pattern", f"This is not a regular expression: {error}."))
    found += _bound_problems(spec)
    if spec.max_length is not None and kind not in (InputType.STRING, InputType.ARRAY, InputType.OBJECT):
        found.append(("max_length", f"'max_length' belongs to texts and lists, not to a {kind}."))
    if not found and spec.has_default and spec.default is not None:
        wrong = problem_with(spec, spec.default)
        if wrong is not None:
            found.append(("default", f"The default is refused: {wrong.message}"))
    return found


def _bound_problems(spec: InputSpec) -> list[tuple[str, str]]:
    if spec.type not in (InputType.INTEGER, InputType.NUMBER, InputType.DURATION):
        bounds = (("min", spec.min), ("max", spec.max))
        words = "'{}' belongs to numbers and durations, not to a {}."
        return [(name, words.format(name, spec.type)) for name, bound in bounds if bound is not None]
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        return [("max", "'max' is less than 'min'.")]
    return []


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of an HTML form. ``control`` is text, number, checkbox, select or textarea."""

    name: str
    control: str
    description: str = ""
    required: bool = False
    value: str = ""
    checked: bool = False
    options: tuple[str, ...] = ()
    pattern: str | None = None
    min: float | None = None
    max: float | None = None
    step: str | None = None
    max_length: int | None = None
    secret: bool = False
    placeholder: str = ""


_CONTROLS = {
    InputType.STRING: "text",
    InputType.INTEGER: "number",
    InputType.NUMBER: "number",
    InputType.BOOLEAN: "checkbox",
    InputType.ENUM: "select",
    InputType.DURATION: "text",
    InputType.OBJECT: "textarea",
    InputType.ARRAY: "textarea",
}


def form_fields(specs: Sequence[InputSpec], given: Mapping[str, str] | None = None) -> tuple[FormField, ...]:
    """The fields that ask for inputs; ``given`` are the texts of a form that came back with problems."""
    return tuple(_form_field(spec, given) for spec in specs)


def _form_field(spec: InputSpec, given: Mapping[str, str] | None) -> FormField:
    default = _as_form_text(spec, spec.default) if spec.has_default else ""
    numeric = spec.type in (InputType.INTEGER, InputType.NUMBER)
    boolean = spec.type is InputType.BOOLEAN
    value = given.get(spec.name, "") if given is not None else default
    return FormField(
        name=spec.name,
        control=_CONTROLS[spec.type],
        description=spec.description,
        required=spec.required and not spec.has_default and not boolean,
        value="" if boolean else value,
        checked=boolean and value.casefold() in _TRUE,
        options=spec.values,
        pattern=spec.pattern,
        min=spec.min if numeric else None,
        max=spec.max if numeric else None,
        step={InputType.INTEGER: "1", InputType.NUMBER: "any"}.get(spec.type),
        max_length=(spec.max_length or MAX_TEXT) if spec.type is InputType.STRING else None,
        secret=spec.secret,
        placeholder={InputType.DURATION: "10m", InputType.OBJECT: "{}", InputType.ARRAY: "[]"}.get(
            spec.type, ""
        ),
    )


_TRUE = frozenset({"on", "true", "1", "yes"})


def _as_form_text(spec: InputSpec, value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if spec.type is InputType.DURATION and isinstance(value, (int, float)):
        return words(value)
    return json.dumps(value, ensure_ascii=False)


def form_texts(specs: Sequence[InputSpec], values: Mapping[str, Json]) -> dict[str, str]:
    """The texts of a form that asks for these values once more. Secret ones are left out: they are asked for anew."""
    return {
        spec.name: _as_form_text(spec, values[spec.name])
        for spec in specs
        if spec.name in values and not spec.secret
    }


def coerce_form(specs: Sequence[InputSpec], form: Mapping[str, str]) -> dict[str, Json]:
    """A form's texts as typed values for :func:`check_inputs`, which also says what could not be read.

    An empty field is not given. A checkbox that is not sent is false. Fields of no input are left out.
    """
    values: dict[str, Json] = {}
    for spec in specs:
        text = form.get(spec.name, "").replace("\r\n", "\n")
        if spec.type is InputType.BOOLEAN:
            values[spec.name] = text.casefold() in _TRUE
        elif text.strip() or (text and spec.type is InputType.STRING):
            values[spec.name] = _from_form(spec, text)
    return values


def _from_form(spec: InputSpec, text: str) -> Json:
    if spec.type in (InputType.STRING, InputType.ENUM):
        return text
    if spec.type is InputType.DURATION:
        plain = text.strip()
        return float(plain) if plain.isascii() and plain.isdigit() and len(plain) < 12 else plain
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
