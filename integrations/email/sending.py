"""The outbox's sender for e-mail: one message to one recipient over SMTP, under the guard of outgoing calls.

A process that dies between sending and marking sends again, with the same ``Message-ID``: mail systems
that look at it show the message once.
"""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import urlsplit

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.addresses import parse_networks
from handrail.catalog.outgoing.calls import dialer_of, require_kind
from handrail.catalog.outgoing.credentials import secret_of
from handrail.catalog.outgoing.errors import NotAllowed, OutgoingError
from handrail.catalog.outgoing.sockets import open_socket
from handrail.catalog.outgoing.transport import Dialer, Guard
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.shared.errors import NotFound
from handrail.vault.redaction import Redactor
from integrations.email.kind import NAME, may_receive

CHANNEL = "email"
"""The outbox channel whose messages this module sends."""

LONGEST_SECONDS = 40.0
"""For one whole conversation; below the outbox's lease."""

PORTS = {"smtp": 587, "smtps": 465}


class _Client(smtplib.SMTP):
    """smtplib over a socket that is open already: it must not look the name up again."""

    def __init__(self, sock: socket.socket, host: str, seconds: float) -> None:
        """Reads the server's greeting. SMTPConnectError when it is not one."""
        self._given = sock
        super().__init__(host, 25, local_hostname=_own_name(sock), timeout=seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._given


def _own_name(sock: socket.socket) -> str:
    """This machine, as an address: asking for its name would be one more lookup (RFC 5321, 4.1.3)."""
    address = str(sock.getsockname()[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def send(message: OutboxMessage) -> None:
    """Send one message of the outbox. Raises Retry or Undeliverable."""
    deliver(message, Dialer())


def deliver(message: OutboxMessage, dialer: Dialer) -> None:
    """As :func:`send`; ``dialer`` is another in tests."""
    payload, project, redactor = message.payload, message.project, Redactor(())
    if project is None:
        raise Undeliverable("The message belongs to no project.")
    try:
        connection = connections.get(project, payload["connection"])
        require_kind(connection, NAME)
        if not may_receive(connection, payload["recipient"]):
            raise Undeliverable(f"The connection does not allow mail to {payload['recipient']} any more.")
        with _open(connection, dialer, redactor) as client:
            client.send_message(
                mail_of(connection, payload), connection.options["from"], [payload["recipient"]]
            )
    except NotFound as error:
        raise Undeliverable(error.message) from error
    except OutgoingError as error:
        raise (Undeliverable if isinstance(error, NotAllowed) else Retry)(error.message) from error
    except (smtplib.SMTPException, OSError) as error:
        raise _refusal(error, redactor) from None


def mail_of(connection: Connection, payload: dict[str, object]) -> EmailMessage:
    """The message as it is sent: plain text, marked as automatic so that nobody's absence answers it."""
    mail = EmailMessage()
    mail["From"] = connection.options["from"]
    mail["To"] = str(payload["to"])
    mail["Subject"] = str(payload["subject"])
    mail["Date"] = str(payload["date"])
    mail["Message-ID"] = str(payload["message_id"])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(str(payload["text"]))
    return mail


@contextmanager
def _open(connection: Connection, dialer: Dialer, redactor: Redactor) -> Iterator[smtplib.SMTP]:
    """A conversation with the server, encrypted and logged in, ended after :data:`LONGEST_SECONDS` at the latest."""
    where = urlsplit(connection.base_url)
    host, port = where.hostname or "", where.port or PORTS[where.scheme]
    seconds = min(connection.timeout_seconds, LONGEST_SECONDS)
    dialer = dialer_of(connection, dialer)
    guard = Guard(parse_networks(connection.allowed_networks), time.monotonic() + seconds, dialer)
    password = _password(connection, redactor)
    sock = open_socket(host, port, guard)
    try:
        with _cut_after(guard.remaining(), sock):
            sock.settimeout(guard.remaining())
            if where.scheme == "smtps":
                sock = dialer.tls().wrap_socket(sock, server_hostname=host)
            with closing(_Client(sock, host, guard.remaining())) as client:
                if where.scheme == "smtp" and not connection.options.get("plain"):
                    client.starttls(context=dialer.tls())
                if password:
                    client.login(*password)
                yield client
                # It has the message: how it says goodbye is its affair.
                with suppress(smtplib.SMTPException, OSError):
                    client.quit()
    finally:
        sock.close()


@contextmanager
def _cut_after(seconds: float, sock: socket.socket) -> Iterator[None]:
    """Each operation has the timeout; a server that drips bytes must not have it again and again.

    The duplicate is the same line, whatever TLS makes of the socket meanwhile.
    """
    line = sock.dup()
    watch = threading.Timer(seconds, _cut, [line])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        line.close()


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _password(connection: Connection, redactor: Redactor) -> tuple[str, str] | None:
    """User and password, if the connection has them. Never over a line without TLS."""
    if connection.authentication == Connection.Authentication.NONE:
        return None
    if connection.options.get("plain"):
        raise NotAllowed(
            f"{connection.name} has a password and is `plain`: it would be sent for all to read."
        )
    user, _, password = secret_of(connection, redactor.learn).partition(":")
    redactor.learn(password)
    return user, password


def _refusal(error: Exception, redactor: Redactor) -> Retry | Undeliverable:
    """Again later, or never: SMTP's codes of 500 and more are final, but a wrong password is mended by people.

    What the server says goes through the redactor: it may repeat what it was told.
    """
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Retry("The SMTP server refuses the connection's user and password.")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        return _of_code(code, said, redactor)
    if isinstance(error, smtplib.SMTPResponseException):
        return _of_code(error.smtp_code, error.smtp_error, redactor)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Undeliverable(f"The SMTP server cannot do what the connection wants: {error}")
    words = redactor.text(f"{type(error).__name__}: {error}")
    return Retry(f"The conversation with the SMTP server broke off: {words[:250]}")


def _of_code(code: int, said: bytes | str, redactor: Redactor) -> Retry | Undeliverable:
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    told = f"The SMTP server says {code}: {redactor.text(' '.join(words.split()))[:250]}"
    return Undeliverable(told) if code >= 500 else Retry(told)
