"""The kinds of connections: what each may say. HTTP is built in; integrations bring theirs through the wiring."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from handrail.catalog.models import Connection
from runbooks.language import rates

HTTP = "http"
LONGEST_TEXT = 2_000
MOST_ITEMS = 100
LONGEST_CERTIFICATES = 64 * 1024

Check = Callable[[object], str]
"""From an option's value to what is wrong with it, in words; empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a connection's ``options``: how it is checked, and what it is, for the reference."""

    check: Check
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionKind:
    """What a connection of this kind may say. ``authentications``: how one may prove who one is there."""

    name: str
    title: str
    schemes: tuple[str, ...]
    authentications: tuple[Connection.Authentication, ...]
    options: Mapping[str, Option] = field(default_factory=dict)
    credential: str = ""
    """What the secret must look like, in words."""


def text(words: str, matches: Callable[[str], object] = bool) -> Check:
    """A text that matches; ``words`` say what it must be."""

    def check(value: object) -> str:
        fits = isinstance(value, str) and len(value) <= LONGEST_TEXT and matches(value)
        return "" if fits else f"It must be {words}."

    return check


def texts(words: str, matches: Callable[[str], object] = bool) -> Check:
    """A list of texts that all match."""
    one = text(words, matches)

    def check(value: object) -> str:
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_ITEMS:
            return f"It must be a list of 1 to {MOST_ITEMS} texts, each {words}."
        wrong = next((item for item in value if one(item)), None)
        return "" if wrong is None else f"{str(wrong)[:60]!r} must be {words}."

    return check


def flag(value: object) -> str:
    """``true`` or ``false``."""
    return "" if isinstance(value, bool) else "It must be true or false."


def certificates(value: object) -> str:
    """PEM certificates that OpenSSL can read."""
    if not isinstance(value, str) or len(value) > LONGEST_CERTIFICATES:
        return "It must be the text of PEM certificates."
    try:
        ssl.create_default_context(cadata=value)
    except (ssl.SSLError, ValueError):
        return "It must be certificates in PEM form, beginning with -----BEGIN CERTIFICATE-----."
    return ""


def rate(value: object) -> str:
    """A rate of calls."""
    try:
        rates.rate_of(value if isinstance(value, str) else "")
    except ValueError:
        return f"It must be {rates.WORDS}."
    return ""


RATE = "rate"
COMMON: Mapping[str, Option] = {
    RATE: Option(
        rate, "How often it may be called, by all runs together, such as `10/s burst 20`: steps beyond wait."
    ),
}
"""What a connection of every kind may say."""

CERTIFICATE_AUTHORITY = Option(
    certificates, "PEM certificates of the authority that signed the target's, instead of the machine's own."
)

_kinds: dict[str, ConnectionKind] = {}


def register(kind: ConnectionKind) -> None:
    """Add a kind; again changes nothing. Called by the wiring."""
    _kinds[kind.name] = kind


def kind_named(name: str) -> ConnectionKind | None:
    """The kind with this name, if this installation has it."""
    return _kinds.get(name)


def kinds() -> list[ConnectionKind]:
    """All kinds, by name."""
    return [_kinds[name] for name in sorted(_kinds)]


register(
    ConnectionKind(
        name=HTTP,
        title="An HTTP service",
        schemes=("https", "http"),
        authentications=(
            Connection.Authentication.NONE,
            Connection.Authentication.BEARER,
            Connection.Authentication.BASIC,
            Connection.Authentication.HEADER,
        ),
        options={"certificate_authority": CERTIFICATE_AUTHORITY},
        credential="for `basic`, `user:password`",
    )
)
