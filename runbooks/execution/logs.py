"""What a step says while it runs: redacted, bounded, and written in parts so that people can follow."""

from __future__ import annotations

import tempfile
import threading
import uuid
from datetime import datetime
from typing import IO

import structlog
from django.db import Error, connection, transaction
from django.db.models import Max

from handrail.shared.artifacts import put_file
from handrail.shared.clock import now
from handrail.shared.jsonvalue import storable_text
from handrail.vault.redaction import Redactor
from runbooks.models import Artifact, LogLine, StepRun

log = structlog.get_logger(__name__)

LONGEST_LINE = 4_000
MOST_LINES = 5_000
MOST_CHARACTERS = 1024 * 1024
"""Of one attempt, in rows; what follows goes into a file."""

MOST_REST = 16 * 1024 * 1024
"""Bytes of that file; what follows is counted, not kept."""

IN_MEMORY = 256 * 1024
"""Bytes of that file that are held in memory until they go to the disk."""

STREAMS = frozenset({"log", "stdout", "stderr"})


class StepLog:
    """The log of one attempt. Called from the step's thread, flushed from the heart's.

    However much a step says, memory and database hold a bounded part of it: the first MOST_LINES in rows, where the
    page follows them live, the rest in a file on this worker's disk that becomes an artifact at the end.
    """

    def __init__(self, step_id: uuid.UUID, attempt: int, redactor: Redactor) -> None:
        """Lines are numbered within the step, over its attempts."""
        self._step_id = step_id
        self._attempt = attempt
        self._redactor = redactor
        self._waiting: list[LogLine] = []
        self._lock = threading.Lock()
        self._said = 0
        self._characters = 0
        self._last: int | None = None
        self._rest: IO[bytes] | None = None
        self._rest_size = 0
        self._in_file = 0
        self._left_out = 0
        self._over = False

    def say(self, stream: str, text: str) -> None:
        """Take one piece of text; each of its lines becomes a line of the log."""
        moment = now()
        kind = stream if stream in STREAMS else "log"
        clean = storable_text(self._redactor.text(text))
        with self._lock:
            for line in clean.splitlines() or [""]:
                self._take(moment, kind, line)

    def _take(self, moment: datetime, stream: str, line: str) -> None:
        """One line: into a row while there is room, else into the file. A line that is cut is whole in the file."""
        if self._said < MOST_LINES and self._characters < MOST_CHARACTERS:
            self._said += 1
            self._characters += min(len(line), LONGEST_LINE)
            cut = len(line) > LONGEST_LINE
            self._waiting.append(self._row(moment, stream, line[:LONGEST_LINE] + ("…" if cut else "")))
            if not cut:
                return
        elif not self._over:
            self._over = True
            words = (
                f"What follows goes into the file {self._name}, which can be read when the step has ended."
            )
            self._waiting.append(self._row(moment, "log", words))
        if self._rest_size >= MOST_REST:
            self._left_out += 1
            return
        if self._rest is None:
            self._rest = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by close()
        written = f"{moment.isoformat(timespec='milliseconds')} {stream:6} {line}\n".encode()
        self._rest.write(written)
        self._rest_size += len(written)
        self._in_file += 1

    def _row(self, moment: datetime, stream: str, text: str) -> LogLine:
        return LogLine(step_id=self._step_id, attempt=self._attempt, at=moment, stream=stream, text=text)

    def flush(self) -> None:
        """Write what was said since the last time. What cannot be written now is written with the next."""
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            self._write(lines)
        except Error:
            with self._lock:
                self._waiting = [*lines, *self._waiting]
                self._last = None
            raise

    def _write(self, lines: list[LogLine]) -> None:
        with transaction.atomic():
            if self._last is None:
                found = LogLine.objects.filter(step_id=self._step_id).aggregate(last=Max("n"))["last"]
                self._last = found or 0
            for line in lines:
                self._last += 1
                line.n = self._last
            LogLine.objects.bulk_create(lines)

    def close(self) -> None:
        """Keep the file, say where the rest is and how much was left out, and write what waits.

        The effect has happened: neither a full disk nor a database that is away may keep its result from being told.
        """
        try:
            if self._rest is not None:
                self._keep(self._rest)
            self.flush()
        except Error as error:
            log.warning("log_not_written", step=str(self._step_id), error=str(error))
            connection.close()

    def _keep(self, rest: IO[bytes]) -> None:
        try:
            with rest:
                digest = put_file(rest)
        except OSError as error:
            words = f"{self._in_file} more lines could not be kept: {error.strerror or error}."
        else:
            self._note(digest)
            words = (
                f"{self._in_file} more line{'s' if self._in_file != 1 else ''} "
                f"({self._rest_size / 1_000_000:.1f} MB) stand in the file {self._name}."
            )
        if self._left_out:
            words += f" Another {self._left_out} lines, beyond {MOST_REST // 1024**2} MiB, were left out."
        self._rest = None
        with self._lock:
            self._waiting.append(self._row(now(), "log", words))

    @property
    def _name(self) -> str:
        return f"log-of-attempt-{self._attempt}.txt"

    def _note(self, digest: str) -> None:
        run_id = StepRun.objects.values_list("run_id", flat=True).get(pk=self._step_id)
        Artifact.objects.create(
            run_id=run_id,
            step_id=self._step_id,
            attempt=self._attempt,
            name=self._name,
            sha256=digest,
            size=self._rest_size,
            media_type="text/plain",
            created_at=now(),
        )
