"""How a connection proves who it is: a header, made of a secret that is read for each attempt."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from handrail.catalog.models import Connection
from handrail.catalog.outgoing.errors import SecretMissing, SecretRefused
from handrail.vault import references
from handrail.vault.references import SecretNotFound, resolve


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """One header, or none. Its representation tells nothing."""

    name: str = ""
    value: str = ""

    def headers(self) -> dict[str, str]:
        """To be added to the request."""
        return {self.name: self.value} if self.name else {}


def credentials_of(connection: Connection, learn: Callable[[str], None]) -> Credentials:
    """Read the secret now; ``learn`` is told it before anybody else sees it.

    ``basic`` takes a secret of the form ``user:password``.
    """
    kind = connection.authentication
    if kind == Connection.Authentication.NONE:
        return Credentials()
    secret = secret_of(connection, learn)
    if any(ord(character) < 0x20 or ord(character) > 0x7E for character in secret):
        raise SecretMissing(
            f"The secret of the connection {connection.name} holds characters that no header can carry."
        )
    if kind == Connection.Authentication.BEARER:
        return Credentials("Authorization", f"Bearer {secret}")
    if kind == Connection.Authentication.BASIC:
        learn(secret.partition(":")[2])
        return Credentials("Authorization", "Basic " + base64.b64encode(secret.encode()).decode("ascii"))
    return Credentials(connection.header_name, secret)


def secret_of(connection: Connection, learn: Callable[[str], None]) -> str:
    """The connection's secret as it is now; ``learn`` is told it before anybody else sees it."""
    try:
        secret = resolve(connection.secret_reference, connection.project).strip()
    except SecretNotFound as error:
        refused = isinstance(error, references.SecretRefused)
        kind_of_error = SecretRefused if refused else SecretMissing
        raise kind_of_error(f"The secret of the connection {connection.name}: {error.message}") from None
    learn(secret)
    return secret
