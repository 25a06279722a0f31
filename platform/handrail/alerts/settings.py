"""What an operator may set for a source, read into one typed value and checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from handrail.alerts import kinds
from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import MappingError, NotThisSource, UnreadableBody
from handrail.alerts.expressions import Expression, compile_expression
from handrail.shared.errors import Invalid

KNOWN = ("mapping", "incident_key", "username")
KEY_VARIABLES = frozenset({"alert"})


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """``mapping``: the kind's own settings. ``incident_key``: a CEL expression over ``alert`` (labels, title).

    ``username``: for senders that use basic authentication with the source's secret as the password.
    """

    mapping: Mapping[str, JsonValue] = field(default_factory=dict)
    incident_key: str = ""
    username: str = ""


def read_settings(document: Mapping[str, JsonValue]) -> SourceSettings:
    """The settings in a stored document; what is not of the right type counts as not set."""
    mapping, key, username = (document.get(name) for name in KNOWN)
    return SourceSettings(
        mapping=mapping if isinstance(mapping, dict) else {},
        incident_key=key if isinstance(key, str) else "",
        username=username if isinstance(username, str) else "",
    )


def check_settings(kind: str, document: Mapping[str, JsonValue]) -> None:
    """Raise Invalid, naming the place, unless an operator may save this document for a source of ``kind``."""
    for name in document:
        if name not in KNOWN:
            raise Invalid(f"A source has no setting {name[:40]!r}: its settings are {', '.join(KNOWN)}.")
    mapping = document.get("mapping", {})
    if not isinstance(mapping, dict):
        raise Invalid("mapping should be an object of fields and their expressions.")
    for name in ("incident_key", "username"):
        if not isinstance(document.get(name, ""), str):
            raise Invalid(f"{name} should be a text.")
    settings = read_settings(document)
    try:
        _probe(kind, mapping)
        if settings.incident_key:
            _check_key(settings.incident_key)
    except MappingError as error:
        raise Invalid(f"{error}.") from None


def _check_key(source: str) -> None:
    if not key_expression(source).roots:
        raise Invalid(
            "incident_key should read alert (alert.labels, alert.service, ...): it would put all in one."
        )


@lru_cache(maxsize=256)
def key_expression(source: str) -> Expression:
    """The compiled expression of an incident key; raises MappingError."""
    return compile_expression(source, "incident_key", KEY_VARIABLES)


def _probe(kind: str, mapping: Mapping[str, JsonValue]) -> None:
    """Let the kind's own parser compile the mapping, which it does before it looks at the (empty) body."""
    try:
        kinds.get(kind).parse(b"", {}, mapping)
    except (UnreadableBody, NotThisSource):
        return
