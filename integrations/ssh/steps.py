"""``ssh.run``: a program by its argv, or a static script, on a host that an operator made a connection to."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.addresses import parse_networks
from handrail.catalog.outgoing.calls import require_kind
from handrail.catalog.outgoing.credentials import secret_of
from handrail.catalog.outgoing.errors import NotAllowed, OutgoingError
from handrail.catalog.outgoing.sockets import open_socket
from handrail.catalog.outgoing.transport import Dialer, Guard
from handrail.shared.errors import NotFound
from integrations.ssh.client import AuthenticationFailed, Ended, Login, run
from integrations.ssh.kind import EVERY, NAME
from runbooks.language import encodings
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import (
    INVALID_INPUT,
    Action,
    ActionContext,
    Failure,
    InvalidInputs,
    Outcome,
    Success,
    without,
)
from runbooks.steps.http import failure_of
from runbooks.steps.inputs import Reader
from runbooks.steps.processes import Ending
from runbooks.steps.shell import INTERPRETER, check_program

PORT = 22


@dataclass(frozen=True, slots=True)
class SshInputs:
    """A program: ``argv``, or ``script`` for the shell with ``env`` as its parameters."""

    connection: str
    argv: tuple[str, ...]
    script: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""

    @property
    def program(self) -> str:
        """What the connection must allow."""
        return self.argv[0] if self.script is None else INTERPRETER

    def words(self) -> list[str]:
        """What everybody on the host can read: the variables, the program and its arguments."""
        words = self.argv if self.script is None else (INTERPRETER, "-eu", "-c", self.script)
        given = [f"{name}={value}" for name, value in self.env.items()]
        return ["env", *given, *words] if given else [*words]

    def command(self) -> str:
        """The one line that SSH carries, every word quoted for a POSIX shell."""
        return shlex.join(self.words())


class SshRun(Action[SshInputs]):
    """Runs a program on another host; what is not certain afterwards is said to be uncertain."""

    spec = ActionSpec(
        name="ssh.run",
        title="Run a program on a host",
        description=(
            "Logs in to the host of an `ssh` connection and runs a program. Give `argv`, each element of which "
            "arrives as one argument, or `script`, static text for `/bin/sh` whose only parameters are `env`. "
            "The connection names the host's keys and the programs that may be run. "
            "Secrets are given as `stdin`: everybody on the host can read arguments."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection"],
            "oneOf": [{"required": ["argv"]}, {"required": ["script"]}],
            "properties": {
                "connection": {"type": "string", "description": "The name of an `ssh` connection."},
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
        static_inputs=frozenset({"connection", "script"}),
        connection_kind=NAME,
        outputs={
            "exit_code": "The exit status (integer); null if the program was ended by a signal.",
            "stdout": "What was written to standard output, its last 64 KiB.",
            "stderr": "What was written to standard error, its last 64 KiB.",
            "truncated": "Whether more was written than is kept (boolean).",
        },
        encodings={"argv": encodings.ARGUMENT},
        unavailable=without("asyncssh", "ssh"),
    )

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver, in tests."""
        self._dialer = dialer or Dialer()

    def read(self, rendered: Mapping[str, Json]) -> SshInputs:
        """Exactly one of ``argv`` and ``script``, as for ``shell.run``."""
        reader = Reader(rendered)
        connection = reader.text("connection")
        if reader.given("argv") == reader.given("script"):
            raise InvalidInputs("Give `argv` or `script`, one of the two.")
        inputs = SshInputs(
            connection,
            reader.texts("argv"),
            reader.optional_text("script"),
            reader.text_mapping("env"),
            reader.text("stdin", ""),
        )
        reader.done()
        check_program(inputs.argv, inputs.script, inputs.env)
        return inputs

    def preview(self, inputs: SshInputs, context: ActionContext) -> str:
        """The very line that the host's shell would read, and whose host it is."""
        try:
            connection = _connection(inputs, context)
        except (NotFound, OutgoingError) as error:
            return f"{inputs.program} on {inputs.connection} would be refused: {error.message}"
        where = urlsplit(connection.base_url)
        return f"Run on {connection.options['user']}@{where.netloc}: {inputs.command()}"

    def target(self, inputs: SshInputs) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: SshInputs, context: ActionContext) -> Outcome:
        """Log in, run it to its end, its timeout, or the run's stop."""
        # Each word by itself: the quotes of the whole line may stand in the middle of a secret.
        if any(context.redactor.spans(word) for word in inputs.words()):
            return Failure(
                INVALID_INPUT,
                "An argument or variable holds a secret, and everybody on the host can read those: "
                "give it as `stdin`.",
            )
        try:
            connection = _connection(inputs, context)
            ended = self._run(connection, inputs, context)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        return _outcome(ended)

    def _run(self, connection: Connection, inputs: SshInputs, context: ActionContext) -> Ended:
        """A key that is refused is read once more: it may have been rotated just now."""
        key = secret_of(connection, context.redactor.learn)
        try:
            return self._run_with(key, connection, inputs, context)
        except AuthenticationFailed:
            fresh = secret_of(connection, context.redactor.learn)
            if fresh == key:
                raise
            return self._run_with(fresh, connection, inputs, context)

    def _run_with(self, key: str, connection: Connection, inputs: SshInputs, context: ActionContext) -> Ended:
        where = urlsplit(connection.base_url)
        host = where.hostname or ""
        deadline = min(context.deadline_monotonic, time.monotonic() + connection.timeout_seconds)
        guard = Guard(parse_networks(connection.allowed_networks), deadline, self._dialer)
        with open_socket(host, where.port or PORT, guard) as sock:
            login = Login(
                host=host,
                user=connection.options["user"],
                private_key=key,
                host_keys=tuple(connection.options["host_keys"]),
                seconds=guard.remaining(),
            )
            context.log("log", f"Logging in to {login.user}@{host} ({guard.progress.address})")
            return run(sock, login, inputs.command(), inputs.stdin, context)


def _connection(inputs: SshInputs, context: ActionContext) -> Connection:
    """The connection, if it allows the program. Raises NotFound and OutgoingError."""
    connection = connections.get(context.project, inputs.connection)
    require_kind(connection, NAME)
    programs = connection.options["programs"]
    if inputs.program not in programs and EVERY not in programs:
        raise NotAllowed(
            f"The connection {connection.name} does not allow {inputs.program[:100]}. It allows: {', '.join(programs)}."
        )
    return connection


def _outcome(ended: Ended) -> Outcome:
    """The outcome that an ending is; whatever ended without saying how may have done any part of its work."""
    outputs: dict[str, Json] = {
        "exit_code": ended.exit_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "truncated": ended.truncated,
    }
    if ended.ending is Ending.TIMED_OUT:
        words = "The program did not end in time. It was told to end; whether it did is not known."
        return Failure("timeout", words, retryable=True, uncertain=True, outputs=outputs)
    if ended.ending is Ending.CANCELLED:
        words = "The run was stopped: the program was told to end; whether it did is not known."
        return Failure("cancelled", words, uncertain=True, outputs=outputs)
    if ended.signal:
        words = f"The program was ended by the signal {ended.signal}."
        return Failure("killed", words, uncertain=True, outputs=outputs)
    if ended.exit_code is None:
        words = "The connection broke off before the program said how it ended."
        return Failure("connection_lost", words, retryable=True, uncertain=True, outputs=outputs)
    if ended.exit_code == 0:
        return Success(outputs)
    last = next((line for line in reversed(ended.stderr.splitlines()) if line.strip()), "")
    words = f"The program ended with status {ended.exit_code}" + (f": {last.strip()[:300]}" if last else ".")
    return Failure("exit_code", words, retryable=True, outputs=outputs)
