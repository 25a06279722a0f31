"""``shell.run``: a program by its argv, or a static script; only on pools where an operator allowed it.

The guard against hostile arguments is in :mod:`runbooks.language.encodings`: only there is it still known
which part of an argument is the runbook's own text and which is data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from handrail.catalog.models import RunnerPool
from runbooks.language import encodings
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import INVALID_INPUT, Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader
from runbooks.steps.processes import Ended, Ending, run_process

INTERPRETER = "/bin/sh"
LONGEST_ARGUMENT = 100 * 1024
MOST_ARGUMENTS = 200
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_DANGEROUS = re.compile(
    r"(?:LD_|DYLD_|BASH_FUNC_|PYTHON|PERL|RUBY|NODE_|GIT_)|(?:PATH|IFS|ENV|BASH_ENV|PS4|SHELLOPTS)\Z"
)
_TEMPLATE = re.compile(r"\$\{\{")


@dataclass(frozen=True, slots=True)
class ShellInputs:
    """A program: ``argv``, or ``script`` for the shell; ``env`` are its parameters."""

    argv: tuple[str, ...]
    script: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None


class ShellRun(Action[ShellInputs]):
    """Runs a program in its own process group, with nothing of the worker's environment."""

    spec = ActionSpec(
        name="shell.run",
        title="Run a program",
        description=(
            "Runs a program on the worker. Give `argv`, a list that no shell reads, or `script`, static text for "
            "`/bin/sh` whose only parameters are `env`. Off unless an operator allowed it for the pool."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "oneOf": [{"required": ["argv"]}, {"required": ["script"]}],
            "properties": {
                "argv": {
                    "type": "array",
                    "minItems": 1,
                    "description": "Program and arguments. An argument that begins with `-` must be written "
                    "in the runbook itself, or stand after `--`.",
                },
                "script": {"type": "string", "description": "Static text for /bin/sh; no `${{ }}` in it."},
                "env": {"type": "object", "description": "Environment variables: the script's parameters."},
                "stdin": {"type": "string", "description": "What the program reads on its standard input."},
            },
        },
        effect=Effect.IRREVERSIBLE,
        may_be_idempotent=True,
        static_inputs=frozenset({"script"}),
        outputs={
            "exit_code": "The exit status (integer).",
            "stdout": "What was written to standard output, its last 64 KiB.",
            "stderr": "What was written to standard error, its last 64 KiB.",
            "truncated": "Whether more was written than is kept (boolean).",
        },
        encodings={"argv": encodings.ARGUMENT},
    )

    def read(self, rendered: Mapping[str, Json]) -> ShellInputs:
        """Exactly one of ``argv`` and ``script``, and no byte that ends a C string."""
        reader = Reader(rendered)
        if reader.given("argv") == reader.given("script"):
            raise InvalidInputs("Give `argv` or `script`, one of the two.")
        argv = reader.texts("argv")
        script = reader.optional_text("script")
        env = reader.text_mapping("env")
        stdin = reader.optional_text("stdin")
        reader.done()
        check_program(argv, script, env)
        return ShellInputs(argv, script, env, stdin)

    def preview(self, inputs: ShellInputs, context: ActionContext) -> str:
        """The argv as a list, so that every boundary is seen; of a script its first line."""
        given = (
            f" with {', '.join(f'{name}={value!r}' for name, value in inputs.env.items())}"
            if inputs.env
            else ""
        )
        if inputs.script is not None:
            lines = inputs.script.strip().splitlines() or [""]
            return f"Run a script of {len(lines)} lines in pool {context.pool}: {lines[0][:120]}{given}"
        return f"Run {list(inputs.argv)} in pool {context.pool}{given}"

    def target(self, inputs: ShellInputs) -> str:
        """The program."""
        return inputs.argv[0] if inputs.argv else INTERPRETER

    def execute(self, inputs: ShellInputs, context: ActionContext) -> Outcome:
        """Run it to its end, its timeout, or the run's cancellation."""
        if not RunnerPool.objects.filter(name=context.pool, allow_shell=True).exists():
            return Failure(
                "not_allowed",
                f"The pool {context.pool} does not allow shell.run. An operator allows it for a pool whose "
                "workers may run programs, and the step names that pool.",
            )
        if any(context.redactor.spans(argument) for argument in inputs.argv):
            return Failure(
                INVALID_INPUT,
                "An argument holds a secret, and everybody on the machine can read arguments: give it as `env` "
                "or `stdin`.",
            )
        argv = inputs.argv or (INTERPRETER, "-eu", "-c", inputs.script or "")
        ended = run_process(argv, inputs.env, inputs.stdin, context)
        if isinstance(ended, Failure):
            return ended
        return _outcome(ended)


def check_program(argv: tuple[str, ...], script: str | None, env: Mapping[str, str]) -> None:
    """Refuse what no program, script or variable may be, with :class:`InvalidInputs`."""
    if script is None and not (argv and argv[0].strip()):
        raise InvalidInputs("`argv` is empty: its first element is the program.")
    if len(argv) > MOST_ARGUMENTS:
        raise InvalidInputs(f"`argv` has more than {MOST_ARGUMENTS} elements.")
    if argv and argv[0].startswith("-"):
        raise InvalidInputs("`argv[0]` is the program: it cannot begin with `-`.")
    for name in env:
        if not _NAME.match(name) or _DANGEROUS.match(name):
            raise InvalidInputs(f"`env.{name[:60]}` is not a name that a step may set.")
    for text in (*argv, script or "", *env.values()):
        if "\0" in text:
            raise InvalidInputs("No argument, script or variable may hold a NUL character.")
        if len(text) > LONGEST_ARGUMENT:
            raise InvalidInputs(
                f"An argument, script or variable is longer than {LONGEST_ARGUMENT} characters."
            )
    if script is not None and _TEMPLATE.search(script):
        raise InvalidInputs("`script` is static text: give its parameters as `env`.")


def _outcome(ended: Ended) -> Outcome:
    """The outcome that an ending is. A program that was killed may have done any part of its work."""
    outputs: dict[str, Json] = {
        "exit_code": ended.exit_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "truncated": ended.truncated,
    }
    if ended.ending is Ending.TIMED_OUT:
        return Failure(
            "timeout",
            "The program did not end in time and was killed with its process group.",
            retryable=True,
            uncertain=True,
            outputs=outputs,
        )
    if ended.ending is Ending.CANCELLED:
        return Failure(
            "cancelled",
            "The run was stopped: the program was killed with its process group.",
            uncertain=True,
            outputs=outputs,
        )
    if ended.exit_code == 0:
        return Success(outputs)
    if ended.exit_code < 0:
        return Failure(
            "killed",
            f"The program was ended by signal {-ended.exit_code}.",
            uncertain=True,
            outputs=outputs,
        )
    last = next((line for line in reversed(ended.stderr.splitlines()) if line.strip()), "")
    return Failure(
        "exit_code",
        f"The program ended with status {ended.exit_code}" + (f": {last.strip()[:300]}" if last else "."),
        retryable=True,
        outputs=outputs,
    )
