"""The JSON Schema of the pieces that several parts of a runbook share.

Every text here is shown in the editor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runbooks.language.durations import LONGEST_SECONDS, PATTERN, WORDS

Schema = dict[str, Any]
"""A JSON Schema as plain data. ``x-say`` finishes the sentence "this must be ..." for a person."""

ID_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"


def text(description: str, *, most: int = 2_000, least: int = 0) -> Schema:
    """Free text."""
    schema: Schema = {"type": "string", "maxLength": most, "description": description}
    if least:
        schema["minLength"] = least
    return schema


def patterned(description: str, pattern: str, say: str) -> Schema:
    """Text of a certain form."""
    return {"type": "string", "pattern": pattern, "x-say": say, "description": description}


def step_id(description: str) -> Schema:
    """A name that expressions can use."""
    return patterned(
        description, ID_PATTERN, "a name of a-z, 0-9 and _ that begins with a letter (at most 63)"
    )


def slug(description: str) -> Schema:
    """A name in addresses."""
    return patterned(description, SLUG_PATTERN, "a name of a-z, 0-9 and - (at most 63)")


def flag(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}


def whole(description: str, *, least: int, most: int) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def number(description: str, *, least: float, most: float) -> Schema:
    """A number within bounds."""
    return {"type": "number", "minimum": least, "maximum": most, "description": description}


def choice(description: str, options: Sequence[str]) -> Schema:
    """One of a few words."""
    return {"enum": list(options), "description": description}


def duration(description: str, *, zero: bool = False) -> Schema:
    """A duration; more than nothing unless ``zero``."""
    schema: Schema = {
        "type": ["string", "number"],
        "pattern": f"^(?=.*[{'0-9' if zero else '1-9'}])(?:{PATTERN})$",
        "minimum" if zero else "exclusiveMinimum": 0,
        "maximum": LONGEST_SECONDS,
        "x-say": WORDS + ("" if zero else ", more than 0"),
        "description": description,
    }
    return schema


def expression(description: str, *, such_as: str = "steps.check.status == 'succeeded'") -> Schema:
    """A bare CEL expression; ``such_as`` is one that could stand there."""
    return {
        "type": ["string", "boolean"],
        "maxLength": 2_000,
        "minLength": 1,
        "x-say": f"an expression such as {such_as}",
        "description": f"{description} (CEL, without ${{{{ }}}})",
    }


def template(description: str, *, most: int = 20_000) -> Schema:
    """Text that may hold ``${{ }}``."""
    return {"type": "string", "maxLength": most, "description": f"{description} May hold ${{{{ }}}}."}


def mapping(
    description: str, of: Schema | bool = True, *, most: int = 100, names: Schema | None = None
) -> Schema:
    """Names with values."""
    schema: Schema = {
        "type": "object",
        "additionalProperties": of,
        "maxProperties": most,
        "description": description,
    }
    if names:
        schema["propertyNames"] = names
    return schema


def items(description: str, of: Schema, *, least: int = 0, most: int = 100) -> Schema:
    """A list."""
    return {"type": "array", "items": of, "minItems": least, "maxItems": most, "description": description}


def record(description: str, properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """A mapping with known fields and no others."""
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        "description": description,
    }
    if required:
        schema["required"] = list(required)
    return schema


INPUT_TYPES = ("string", "integer", "number", "boolean", "enum", "duration", "object", "array")

INPUT = record(
    "A typed input.",
    {
        "type": choice("What kind of value it is.", INPUT_TYPES),
        "description": text("What to give, for the person who fills the form."),
        "required": flag("Whether a run cannot start without it."),
        "default": {"description": "The value when none is given."},
        "pattern": text("A regular expression (RE2) that the whole text must match.", most=500, least=1),
        "values": items(
            "The allowed words of an enum.", text("A word.", most=200, least=1), least=1, most=100
        ),
        "min": {"type": "number", "description": "The smallest number (seconds for a duration)."},
        "max": {"type": "number", "description": "The largest number (seconds for a duration)."},
        "max_length": whole("The most characters, or items of an array.", least=1, most=100_000),
        "secret": flag("Not available in this version: name a reference under secrets instead."),
    },
    ["type"],
)

INPUTS = mapping(
    "Typed inputs by name.", INPUT, most=50, names=step_id("A name for expressions: inputs.<name>.")
)

RETRY = record(
    "When a failed attempt is tried again.",
    {
        "max_attempts": whole("How often in all, the first attempt included.", least=1, most=100),
        "initial_interval": duration("The pause before the second attempt.", zero=True),
        "backoff": number("By what each pause is longer than the one before.", least=1, most=100),
        "max_interval": duration("The longest pause."),
        "jitter": choice(
            "How pauses are shortened by chance, so that callers do not come in step: full (from nothing on), "
            "equal (from half of the pause on) or none.",
            ["full", "equal", "none"],
        ),
        "only_on": items("Retry only these error codes.", text("An error code.", most=100, least=1)),
        "not_on": items("Never retry these error codes.", text("An error code.", most=100, least=1)),
    },
)

SCHEDULE_TO_START = duration("How long an attempt may wait for a worker of its pool.")
SCHEDULE_TO_CLOSE = duration("How long all attempts may take together, with the pauses between them.")

RUNNER = record("Where the step runs.", {"pool": slug("The pool of workers.")}, ["pool"])

WITH = mapping("The action's inputs. Strings may hold ${{ }}.")

CALL = {"uses": text("The action, such as http.request.", most=100, least=1), "with": WITH}
