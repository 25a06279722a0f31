"""The runbook language: YAML text to a checked, typed, immutable definition; expressions; typed inputs.

Pure: no framework and no I/O. What an author can use of actions comes in as :class:`ActionSpec`.
"""

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, InputSpec, InputType, Json, Runbook, Step, Template
from runbooks.language.diff import Change, compare
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import compile_expression, condition, evaluate, render
from runbooks.language.inputs import FormField, InputProblem, check_inputs, coerce_form, form_fields
from runbooks.language.parsing import Parsed, canonical, digest, parse, reread
from runbooks.language.problems import Problem
from runbooks.language.schema import json_schema

__all__ = [
    "ActionSpec",
    "Change",
    "Effect",
    "ExpressionError",
    "FormField",
    "InputProblem",
    "InputSpec",
    "InputType",
    "Json",
    "Parsed",
    "Problem",
    "Runbook",
    "Step",
    "Template",
    "canonical",
    "check_inputs",
    "coerce_form",
    "compare",
    "compile_expression",
    "condition",
    "digest",
    "evaluate",
    "form_fields",
    "json_schema",
    "parse",
    "render",
    "reread",
]
