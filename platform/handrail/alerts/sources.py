"""What a source is: the one interface behind every folder that can turn a webhook into alerts, or a message."""

from __future__ import annotations

import difflib
import enum
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from handrail.alerts.bodies import JsonValue, header
from handrail.alerts.errors import UnknownSource, UnusableSecret
from handrail.alerts.events import MAX_FINGERPRINT, Told
from handrail.alerts.text import shown


class TrustLevel(enum.StrEnum):
    """How the caller proved who it is, from strongest to weakest."""

    SIGNED = "signed"
    TOKEN = enum.auto()  # "token"
    ADDRESS = "url-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What deliveries are checked against, already resolved from their references.

    `secrets`: bearer tokens, passwords or signing secrets; several are valid at once while one is being
    rotated. `username`: for basic authentication only. No secrets at all: the secret in the hook's address
    is the only proof.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    username: str = ""

    def __post_init__(self) -> None:
        if any(not secret.strip() for secret in self.secrets) or (self.username and not self.secrets):
            raise UnusableSecret("the source's secret is empty: set one, or remove the setting")


class SourceKind(Protocol):
    """One kind of alert source. Stateless and pure: no clock, no database, no network."""

    @property
    def name(self) -> str:
        """The kind's name in addresses and on the command line: `alertmanager`."""

    @property
    def title(self) -> str:
        """What people call it: "Prometheus Alertmanager"."""

    @property
    def start_names_episode(self) -> bool:
        """Whether a firing that bears the start of an episode is a copy of that episode's own firing."""

    def parse(
        self, body: bytes, headers: Mapping[str, str], settings: Mapping[str, JsonValue], /
    ) -> Sequence[Told]:
        """The alerts in a body, in its order, at least one; or the message that it is.

        Raises IntakeError for a body not of this source.

        `settings` is the source's own configuration (for `generic` its mapping); unknown keys are an error
        there.
        """

    def verify(self, body: bytes, headers: Mapping[str, str], credentials: Credentials, /) -> TrustLevel:
        """How far this delivery can be trusted. Raises NotProven when a configured proof is missing."""

    def delivery_id(self, headers: Mapping[str, str], body: bytes, /) -> str | None:
        """The provider's own id of this delivery, equal for its retries, or None where it has none."""


# Standard Webhooks, the IETF's Idempotency-Key draft, and the habit of several vendors.
_ID_HEADERS = ("Webhook-Id", "Idempotency-Key", "X-Webhook-Id", "X-Delivery-Id")


def id_in_headers(headers: Mapping[str, str], *more: str) -> str | None:
    """A delivery's id in one of the usual headers, or in one of ``more``; None where there is none."""
    found = (header(headers, name).strip() for name in (*_ID_HEADERS, *more))
    return next((value for value in found if value and len(value) <= MAX_FINGERPRINT), None)


@dataclass(frozen=True, slots=True)
class SourceRegistry:
    """The source kinds by name. `places` maps a kind to where it is: `package.module:ATTRIBUTE`."""

    places: Mapping[str, str]

    def names(self) -> list[str]:
        """All kinds, sorted."""
        return sorted(self.places)

    def get(self, name: str) -> SourceKind:
        """The kind called `name`, loaded now. Raises UnknownSource with the nearest name and the list."""
        place = self.places.get(name)
        if place is None:
            near = difflib.get_close_matches(name.lower(), self.names(), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UnknownSource(
                f"there is no alert source {shown(name)}{hint}; the kinds are: {', '.join(self.names())}"
            )
        module, _, attribute = place.partition(":")
        kind: SourceKind = getattr(importlib.import_module(module), attribute)
        return kind
