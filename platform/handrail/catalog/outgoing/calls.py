"""One call through a connection: checked, authenticated, bounded, and its outcome told apart."""

from __future__ import annotations

import json
import ssl
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpcore2
import httpx2

from handrail.catalog.kinds import HTTP
from handrail.catalog.models import Connection
from handrail.catalog.outgoing import errors, paths
from handrail.catalog.outgoing.addresses import parse_networks
from handrail.catalog.outgoing.credentials import Credentials, credentials_of
from handrail.catalog.outgoing.transport import Dialer, Guard, GuardedTransport

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1): their loss leaves no doubt."""

METHODS: Final = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}

LARGEST_RESPONSE: Final = 4 * 1024 * 1024
"""Bytes of a body, after decompression, that are read."""

MOST_REDIRECTS: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

Learn = Callable[[str], None]
"""Told each secret before it is used, so that it is hidden wherever it comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """What is asked. ``path`` is relative to the connection's base address; at most one body is given."""

    method: str = "GET"
    path: str = "/"
    query: Mapping[str, paths.QueryValue | Sequence[paths.QueryValue]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. ``truncated``: the body was larger than what is read (writes only)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False
    address: str = ""

    def text(self) -> str:
        """The body as text, in the charset that it names; what does not decode is replaced."""
        charset = httpx2.Headers(dict(self.headers)).get("content-type", "").partition("charset=")[2]
        try:
            return self.body.decode(charset.strip(" \"'") or "utf-8", errors="replace")
        except (LookupError, ValueError):  # unknown, or one that replaces nothing, such as punycode
            return self.body.decode("utf-8", errors="replace")

    def json(self) -> object:
        """The body as JSON, or ValueError."""
        return json.loads(self.text(), parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def call(
    connection: Connection,
    request: OutgoingRequest,
    *,
    deadline: float,
    learn: Learn,
    dialer: Dialer | None = None,
) -> Reply:
    """Make the call and read the answer, or raise an :class:`errors.OutgoingError`.

    ``deadline`` is a moment of :func:`time.monotonic`. An answer of 401 fetches the connection's secret once
    more, and tries once more if it is another by now (it was rotated).
    """
    check(connection, request)
    credentials = credentials_of(connection, learn)
    dialer = dialer_of(connection, dialer)
    reply = _follow(connection, request, credentials, deadline, dialer)
    if reply.status == httpx2.codes.UNAUTHORIZED:
        fresh = credentials_of(connection, learn)
        if fresh != credentials:
            reply = _follow(connection, request, fresh, deadline, dialer)
    return reply


def exchange(
    connection: Connection,
    request: OutgoingRequest,
    *,
    deadline: float,
    dialer: Dialer | None = None,
    credentials: Credentials | None = None,
) -> Reply:
    """One request of an integration, which has checked itself what its connection allows, and its answer.

    An empty path is the base address itself. Addresses are checked as always; redirects are answers like others.
    Raises :class:`errors.OutgoingError`.
    """
    address = connection.base_url
    path = request.path or ("" if urlsplit(address).path else "/")
    if path:
        address = address.rstrip("/") + paths.target_of(path, request.query)
    guard = Guard(parse_networks(connection.allowed_networks), deadline, dialer_of(connection, dialer))
    return _exchange(address, request, credentials or Credentials(), guard)


def dialer_of(connection: Connection, dialer: Dialer | None = None) -> Dialer:
    """How this connection's names and certificates are looked at; ``dialer`` is for tests."""
    dialer = dialer or Dialer()
    authority = connection.options.get("certificate_authority")
    if not authority:
        return dialer
    return replace(dialer, tls=lambda: ssl.create_default_context(cadata=authority))


def check(connection: Connection, request: OutgoingRequest) -> str:
    """Refuse what the connection does not allow; else the full address, for people to read."""
    require_kind(connection, HTTP)
    allowed = [str(method).upper() for method in connection.allowed_methods] or ["GET", "HEAD"]
    if request.method not in allowed:
        raise errors.NotAllowed(
            f"The connection {connection.name} does not allow {request.method[:20]}. "
            f"It allows: {', '.join(allowed)}."
        )
    return _address(connection, paths.target_of(request.path, request.query))


def require_kind(connection: Connection, kind: str) -> None:
    """Refuse a connection that is for other actions: its limits would not be asked here."""
    if connection.kind != kind:
        raise errors.NotAllowed(
            f"{connection.name} is a connection of the kind {connection.kind}; this action needs the kind {kind}."
        )


def _address(connection: Connection, target: str) -> str:
    plain = target.partition("?")[0]
    paths.check_allowed(plain, connection.allowed_paths)
    return connection.base_url.rstrip("/") + target


def _follow(
    connection: Connection,
    request: OutgoingRequest,
    credentials: Credentials,
    deadline: float,
    dialer: Dialer,
) -> Reply:
    """Follow redirects of reads within the same origin, each checked like the first."""
    address = check(connection, request)
    for _ in range(MOST_REDIRECTS + 1):
        guard = Guard(parse_networks(connection.allowed_networks), deadline, dialer)
        reply = _exchange(address, request, credentials, guard)
        location = reply.headers.get("location")
        if request.method not in SAFE_METHODS or reply.status not in REDIRECTS or not location:
            return reply
        address = _redirected(connection, address, location)
    raise errors.RedirectRefused(f"{connection.name} redirects more than {MOST_REDIRECTS} times.")


def _redirected(connection: Connection, address: str, location: str) -> str:
    """The next address; only the same scheme, host and port, and below the base address."""
    base = connection.base_url.rstrip("/")
    there = urljoin(address, location).partition("#")[0]
    if not there.startswith(base + "/"):
        raise errors.RedirectRefused(
            f"{connection.name} redirects to a place that is not below its base address {base}. If that place "
            f"is meant, an operator makes a connection for it: {there[:200]}"
        )
    path, question_mark, query = there.removeprefix(base).partition("?")
    return _address(connection, paths.target_of(path + question_mark + query, {}))


def _exchange(address: str, request: OutgoingRequest, credentials: Credentials, guard: Guard) -> Reply:
    """One request and its answer on one socket."""
    writes = request.method not in SAFE_METHODS
    parts = urlsplit(address)
    target = parts.path + ("?" + parts.query if parts.query else "")
    try:
        with httpx2.Client(
            transport=GuardedTransport(guard, secure=parts.scheme == "https"),
            trust_env=False,
            follow_redirects=False,
            timeout=guard.remaining(),
        ) as client:
            message = client.build_request(
                request.method,
                address,
                headers={
                    "User-Agent": "Handrail",
                    "Accept-Encoding": "identity",
                    **request.headers,
                    **credentials.headers(),
                },
                content=request.content,
                # The bytes that were checked are the bytes that are sent.
                extensions={"target": target.encode("ascii"), "timeout": {}},
            )
            answer = client.send(message, stream=True)
            try:
                return _read(answer, writes=writes, address=guard.progress.address)
            finally:
                answer.close()
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise _broken(error, guard, writes=writes) from error


def _broken(error: Exception, guard: Guard, *, writes: bool) -> errors.OutgoingError:
    """Before the first byte nothing has happened; after it, a write may have."""
    uncertain = writes and guard.progress.sent
    doubt = " The request was sent: whether it took effect is not known." if uncertain else ""
    if isinstance(error, httpcore2.TimeoutException):
        return errors.TimedOut(f"No full answer within the time.{doubt}", uncertain=uncertain)
    if isinstance(error, httpcore2.LocalProtocolError):
        return errors.InvalidRequest(f"The request cannot be sent: {error}.")
    if not guard.progress.sent:
        return errors.ConnectFailed(f"Cannot connect: {error}.")
    return errors.BrokenOff(f"The conversation broke off: {error}.{doubt}", uncertain=uncertain)


def _read(answer: httpx2.Response, *, writes: bool, address: str) -> Reply:
    """The body, bounded also while it is decompressed."""
    encoding = answer.headers.get("content-encoding", "identity").lower()
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in {"gzip", "deflate"} else None
    body = bytearray()
    truncated = False
    for chunk in answer.iter_raw():
        room = LARGEST_RESPONSE + 1 - len(body)
        try:
            body += inflate.decompress(chunk, room) if inflate else chunk[:room]
        except zlib.error as error:
            raise errors.BrokenOff(f"The answer cannot be decompressed: {error}.", uncertain=writes) from None
        if len(body) > LARGEST_RESPONSE:
            truncated = True
            break
    if truncated and not writes:
        raise errors.ResponseTooLarge(
            f"The answer is larger than {LARGEST_RESPONSE} bytes: ask for less, such as one page."
        )
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "set-cookie"}
    return Reply(
        status=answer.status_code,
        headers=headers,
        body=bytes(body[:LARGEST_RESPONSE]),
        truncated=truncated,
        address=address,
    )
