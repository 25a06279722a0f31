"""The transport under every outgoing call: resolves once, checks, and connects to that very address.

The name stays in ``Host`` and in TLS's server name; only the socket sees the address. A second lookup, which
could answer otherwise (DNS rebinding), never happens. One deadline bounds the whole exchange, however slowly
the other side speaks.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType

import httpcore2
import httpx2

from handrail.catalog.outgoing.addresses import Network, parse_address, refusal
from handrail.catalog.outgoing.errors import AddressRefused, DnsFailed

Resolver = Callable[[str, int], Sequence[str]]
"""From a host name and a port to its addresses; OSError or UnicodeError when there are none."""

MOST_ADDRESSES = 4
"""How many addresses of one name are tried, in the resolver's order."""


def system_resolver(host: str, port: int) -> list[str]:
    """What this machine's resolver says, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def system_tls() -> ssl.SSLContext:
    """The machine's certificate authorities; ``SSL_CERT_FILE`` names others, as for every OpenSSL program."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Dialer:
    """How names become connections: exchanged in tests, the machine's own otherwise."""

    resolve: Resolver = system_resolver
    tls: Callable[[], ssl.SSLContext] = system_tls


@dataclass(slots=True)
class Progress:
    """What is known of an exchange when it breaks: whether any byte of a request has left."""

    sent: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits of one exchange. ``deadline`` is a moment of :func:`time.monotonic`."""

    allowed: tuple[Network, ...]
    deadline: float
    dialer: Dialer = Dialer()
    progress: Progress = field(default_factory=Progress)

    def remaining(self, timeout: float | None = None) -> float:
        """Seconds that an operation may take; at least a moment, so that it fails by timeout, not by value."""
        left = max(self.deadline - time.monotonic(), 0.001)
        return left if timeout is None else min(timeout, left)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a name, all of them allowed; or the refusal."""
        found = self._resolve(host, port)
        if not found:
            raise DnsFailed(f"The name {host} has no address.")
        for text in found:
            try:
                reason = refusal(parse_address(text), self.allowed)
            except ValueError:
                raise AddressRefused(f"The name {host} leads to {text!r}, which is no address.") from None
            if reason:
                raise AddressRefused(
                    f"{host} leads to {text} ({reason}), which this connection may not reach. "
                    f"If it should, an operator adds the network to the connection's allowed networks."
                )
        return list(found)[:MOST_ADDRESSES]

    def _resolve(self, host: str, port: int) -> Sequence[str]:
        """In a thread of its own: the C library's resolver knows no deadline."""
        answer: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self.dialer.resolve(host, port))
            except (OSError, UnicodeError) as error:
                answer.put(error)

        threading.Thread(target=ask, name="handrail-resolve", daemon=True).start()
        try:
            found = answer.get(timeout=self.remaining())
        except queue.Empty:
            raise DnsFailed(f"The name {host} was not resolved in time.") from None
        if isinstance(found, (OSError, UnicodeError)):
            raise DnsFailed(f"The name {host} cannot be resolved: {found}.") from found
        return found


class GuardedBackend(httpcore2.NetworkBackend):
    """Opens sockets to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        """One backend an exchange."""
        self._guard = guard
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers."""
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in self._guard.addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self._guard.remaining(timeout), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
                continue
            self._guard.progress.address = address
            return GuardedStream(stream, self._guard)
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Never: a connection names a host."""
        raise httpcore2.ConnectError("Unix sockets are not reached through connections.")


class GuardedStream(httpcore2.NetworkStream):
    """A socket under the exchange's deadline, which remembers that something was sent."""

    def __init__(self, stream: httpcore2.NetworkStream, guard: Guard) -> None:
        """Wraps an open stream."""
        self._stream = stream
        self._guard = guard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most ``max_bytes``; b"" at the end."""
        return self._stream.read(max_bytes, self._guard.remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """From here on nobody can say that the other side has seen nothing."""
        self._guard.progress.sent = True
        self._stream.write(buffer, self._guard.remaining(timeout))

    def close(self) -> None:
        """Close the socket."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """The handshake, with the name that the certificate must bear."""
        secured = self._stream.start_tls(ssl_context, server_hostname, self._guard.remaining(timeout))
        return GuardedStream(secured, self._guard)

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks of a socket."""
        return self._stream.get_extra_info(info)


class GuardedTransport(httpx2.BaseTransport):
    """For one exchange: no proxy, no retry, no pooled connection of somebody else."""

    def __init__(self, guard: Guard, *, secure: bool) -> None:
        """``secure``: the address is https, so that certificates are needed."""
        self._pool = httpcore2.ConnectionPool(
            ssl_context=guard.dialer.tls() if secure else None,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=GuardedBackend(guard),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it; the answer's body is still to be read."""
        if not isinstance(request.stream, httpx2.SyncByteStream):
            raise TypeError("Only plain bodies are sent.")
        url = request.url
        answer = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        if not isinstance(answer.stream, Iterable):
            raise TypeError("The answer cannot be read.")
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the socket, whatever happened."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    def close(self) -> None:
        closing = getattr(self._chunks, "close", None)
        if closing is not None:
            closing()
