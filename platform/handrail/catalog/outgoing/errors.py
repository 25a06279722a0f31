"""Why a call to the outside was not made, or brought no answer."""

from __future__ import annotations


class OutgoingError(Exception):
    """A call that failed. ``uncertain``: the request was sent and no answer tells whether it took effect."""

    code = "outgoing_failed"
    retryable = False

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        """The message says what to change, or what to look at."""
        super().__init__(message)
        self.message = message
        self.uncertain = uncertain


class InvalidRequest(OutgoingError):
    """The path, the query or a header is not in the plain form that can be checked."""

    code = "invalid_input"


class NotAllowed(OutgoingError):
    """The connection does not allow this method or this path."""

    code = "not_allowed"


class AddressRefused(OutgoingError):
    """The name leads to an address that the connection may not reach."""

    code = "address_refused"


class DnsFailed(OutgoingError):
    """The name has no address now."""

    code = "dns_failed"
    retryable = True


class ConnectFailed(OutgoingError):
    """Nobody answers at the address, or its certificate is not the name's."""

    code = "connect_failed"
    retryable = True


class TimedOut(OutgoingError):
    """No full answer within the time."""

    code = "timeout"
    retryable = True


class BrokenOff(OutgoingError):
    """The other side ended the conversation without a full answer."""

    code = "connection_lost"
    retryable = True


class RedirectRefused(OutgoingError):
    """The answer points to another place."""

    code = "redirect_refused"


class ResponseTooLarge(OutgoingError):
    """The answer is larger than what Handrail reads."""

    code = "response_too_large"


class SecretMissing(OutgoingError):
    """The connection's secret cannot be read."""

    code = "secret_not_found"


class SecretRefused(SecretMissing):
    """The connection's project may not read what the reference leads to."""

    code = "secret_refused"
