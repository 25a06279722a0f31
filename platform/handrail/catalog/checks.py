"""Whether a connection holds together: every problem by its field, in words for the operator."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from handrail.catalog.kinds import COMMON, HTTP, ConnectionKind, kind_named, kinds
from handrail.catalog.models import Connection
from handrail.catalog.outgoing import paths
from handrail.catalog.outgoing.addresses import parse_networks
from handrail.catalog.outgoing.calls import METHODS
from handrail.catalog.outgoing.errors import InvalidRequest
from handrail.vault.grants import refusal

LONGEST_TIMEOUT = 300.0
LONGEST_REFERENCE = 300
_BY_REFERENCE = "secret_reference"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]+\Z|[0-9a-fA-F:.]+\Z")
_NOT_A_KEY = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "cookie", "te", "upgrade"}
)


def connection_problems(connection: Connection) -> dict[str, str]:
    """Field -> what is wrong with it; empty when all is well."""
    kind = kind_named(connection.kind)
    if kind is None:
        return {"kind": f"The kind is one of {', '.join(known.name for known in kinds())}."}
    checks = {
        "base_url": _base_url(connection.base_url, kind),
        "allowed_methods": _methods(connection.allowed_methods),
        "allowed_paths": _paths(connection.allowed_paths),
        "allowed_networks": _networks(connection.allowed_networks),
        "timeout_seconds": _timeout(connection.timeout_seconds),
        "description": ""
        if len(connection.description) <= 300
        else "A description has at most 300 characters.",
        "options": _options(connection.options, kind),
        **_authentication(connection, kind),
    }
    if kind.name != HTTP and (connection.allowed_methods or connection.allowed_paths):
        checks["allowed_methods"] = "Methods and paths are limits of http connections: leave them empty."
    environment = connection.environment
    if environment is not None and environment.project_id != connection.project_id:
        checks["environment"] = "The environment is another project's."
    return {field: problem for field, problem in checks.items() if problem}


def _base_url(text: object, kind: ConnectionKind) -> str:
    if not isinstance(text, str) or len(text) > 500:
        return "The address is a text of at most 500 characters."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "The address is not a URL."
    if parts.scheme not in kind.schemes or not parts.hostname:
        first, *others = (f"{scheme}://" for scheme in kind.schemes)
        return f"The address must begin with {' or '.join([first, *others])} and name a host."
    if parts.username is not None or parts.password is not None:
        return "The address holds a user name or password: give it as the connection's secret."
    if parts.query or parts.fragment or "?" in text or "#" in text:
        return "The address ends with its path: no query and no fragment."
    if not _HOST.match(parts.hostname) or port == 0:
        return "The address names a host that is no host name: write an international name in its xn-- form."
    if parts.path:
        if not parts.scheme.startswith("http"):
            return f"The address of a {kind.name} connection ends with its host and port."
        try:
            paths.check_path(parts.path)
        except InvalidRequest as error:
            return f"In the address: {error.message.replace('`path`', 'its path')}"
    return ""


def _texts(value: object) -> list[str] | None:
    """The list if it is one of texts."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [str(item) for item in value]
    return None


def _methods(value: object) -> str:
    methods = _texts(value)
    if methods is None or not set(methods) <= METHODS:
        return f"Allowed methods are a list of some of {', '.join(sorted(METHODS))}."
    return ""


def _paths(value: object) -> str:
    prefixes = _texts(value)
    if prefixes is None:
        return "Allowed paths are a list of texts like /deploys."
    for prefix in prefixes:
        try:
            paths.check_path(prefix)
        except InvalidRequest as error:
            return f"{prefix!r}: {error.message}"
        if "?" in prefix:
            return f"{prefix!r}: an allowed path has no query."
    return ""


def _networks(value: object) -> str:
    networks = _texts(value)
    if networks is None:
        return "Allowed networks are a list of texts like 10.1.2.0/24."
    try:
        parse_networks(networks)
    except ValueError as error:
        return str(error)
    return ""


def _timeout(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= LONGEST_TIMEOUT:
        return f"A timeout is a number of seconds from 0.1 to {LONGEST_TIMEOUT:.0f}."
    return ""


def _options(given: object, kind: ConnectionKind) -> str:
    """What only this kind of connection says, all of it known and nothing missing."""
    if not isinstance(given, dict):
        return "Options are a mapping."
    options = {**COMMON, **kind.options}
    for name, value in given.items():
        option = options.get(name)
        if option is None:
            known = ", ".join(sorted(options))
            return f"There is no option {str(name)[:60]!r} of {kind.name} connections; there are: {known}."
        if problem := option.check(value):
            return f"{name}: {problem}"
    missing = sorted(name for name, option in kind.options.items() if option.required and name not in given)
    return f"A {kind.name} connection needs the option {missing[0]}." if missing else ""


def _authentication(connection: Connection, kind: ConnectionKind) -> dict[str, str]:
    """How one proves who one is, its secret, and for ``header`` the header."""
    methods = Connection.Authentication
    method = connection.authentication
    if method not in kind.authentications:
        return {
            "authentication": f"Authentication of a {kind.name} connection is {' or '.join(kind.authentications)}."
        }
    problems: dict[str, str] = {}
    if method == methods.NONE:
        return (
            {"secret_reference": "Without authentication no secret is used."}
            if connection.secret_reference
            else {}
        )
    if len(connection.secret_reference) > LONGEST_REFERENCE:
        problems[_BY_REFERENCE] = f"The reference of a secret has at most {LONGEST_REFERENCE} characters."
    elif wrong := refusal(connection.secret_reference, connection.project.slug):
        problems[_BY_REFERENCE] = wrong
    if method == methods.HEADER and (
        not _HEADER.match(connection.header_name) or connection.header_name.lower() in _NOT_A_KEY
    ):
        problems["header_name"] = "Name the header that carries the secret, such as X-Api-Key."
    return problems
