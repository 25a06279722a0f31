"""`handrail source`: try a webhook body on an alert source, without a database."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

import click

from handrail.alerts.bodies import MAX_BODY_BYTES, JsonValue, read_json
from handrail.alerts.errors import IntakeError
from handrail.alerts.events import Message, Told
from handrail.alerts.sources import SourceRegistry
from handrail.alerts.times import rfc3339
from integrations import INTEGRATIONS

UNREADABLE = 2


@click.group()
def source() -> None:
    """Sources: what turns a webhook's body into alerts, or into a message to runbooks."""


@source.command(name="try", short_help="Print the alerts in a webhook body as JSON lines.")
@click.argument("kind")
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar='"Name: value"',
    help="A request header that came with the body; may be given several times.",
)
@click.option(
    "--mapping",
    type=click.Path(allow_dash=False),
    help="The mapping of a generic source, a JSON file of CEL expressions.",
)
def try_source(kind: str, file: str, headers: tuple[str, ...], mapping: str | None) -> None:
    """Print the alerts that KIND reads in FILE, one JSON object a line; FILE `-` is standard input.

    Exits with 2 and one line on standard error when the body is not that source's. Nothing is stored or sent.
    """
    try:
        chosen = SourceRegistry(INTEGRATIONS).get(kind)
        settings = _read_mapping(mapping) if mapping is not None else {}
        events = chosen.parse(_read_file(file), _read_headers(headers), settings)
    except IntakeError as error:
        _refuse(str(error))
    for line in _lines(events):
        click.echo(line)
    for event in events:
        if event.note:
            click.echo(f"handrail source try: {event.note}", err=True)


def describe(event: Told) -> dict[str, object]:
    """What `source try` shows of an alert: times in UTC (RFC 3339), null where the body does not say.

    Of a message, what expressions see of it.
    """
    if isinstance(event, Message):
        return {"headers": dict(event.headers), "body": event.body}
    return {
        "status": str(event.status),
        "severity": str(event.severity),
        "title": event.title,
        "fingerprint": event.fingerprint,
        "started_at": rfc3339(event.started_at),
        "ended_at": rfc3339(event.ended_at),
        "labels": dict(event.labels),
    }


def _lines(events: Sequence[Told]) -> Iterator[str]:
    # ASCII only: the same bytes whatever the terminal's encoding.
    return (json.dumps(describe(event)) for event in events)


def _read_mapping(name: str) -> dict[str, JsonValue]:
    try:
        document = read_json(_read_file(name))
    except IntakeError as error:
        _refuse(f"the mapping {name}: {error}")
    if not isinstance(document, dict):
        _refuse(f"the mapping {name} should be a JSON object of expressions")
    return document


def _read_headers(headers: tuple[str, ...]) -> dict[str, str]:
    read: dict[str, str] = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            _refuse(f'--header "{header}" should be "Name: value"')
        read[name.strip()] = value.strip()
    return read


def _read_file(name: str) -> bytes:
    try:
        if name == "-":
            return _read_bounded(sys.stdin.buffer)
        with Path(name).open("rb") as stream:
            return _read_bounded(stream)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _refuse(f"cannot read {name}: {reason}")


def _read_bounded(stream: BinaryIO) -> bytes:
    return stream.read(MAX_BODY_BYTES + 1)  # one byte too many is enough to be refused


def _refuse(message: str) -> NoReturn:
    click.echo(f"handrail source try: {' '.join(message.split())}", err=True)
    raise SystemExit(UNREADABLE)
