"""What can be wrong with a delivery, each error saying what was expected, found, and what to do."""

from __future__ import annotations

from handrail.alerts.text import shown
from handrail.shared.errors import HandrailError


class IntakeError(HandrailError):
    """A delivery cannot be turned into alerts. The message is one line, fit for a caller and for a log."""

    code = "intake_error"
    status = 422

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class BodyTooLarge(IntakeError):
    """The body is larger than Handrail reads."""

    code = "body_too_large"
    status = 413

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(
            f"the body has {size:,} bytes, more than the {limit:,} that are read: "
            "lower the number of alerts per notification at the sender"
        )
        self.size = size
        self.limit = limit


class UnreadableBody(IntakeError):
    """The bytes are not the document they should be: wrong encoding, broken JSON, too deep."""

    code = "unreadable_body"
    status = 400


class NotThisSource(IntakeError):
    """A readable document that is not what this source sends.

    `path` is the place in the document as a JSON path (`$.alerts[2].status`).
    """

    code = "not_this_source"
    status = 422

    def __init__(self, *, source: str, path: str, expected: str, found: object, advice: str = "") -> None:
        tail = f": {advice}" if advice else ""
        super().__init__(f"not a body of {source}: {path} should be {expected}, found {shown(found)}{tail}")
        self.source = source
        self.path = path


class MappingError(IntakeError):
    """The admin's mapping is wrong, or does not fit this body. Names the field and its expression."""

    code = "mapping_error"
    status = 422


class UnknownSource(IntakeError):
    """No source kind bears this name."""

    code = "unknown_source"
    status = 404


class NotProven(IntakeError):
    """The caller did not prove who it is: no, or a wrong, credential."""

    code = "not_proven"
    status = 401


class UnusableSecret(IntakeError):
    """A source is set up to check a secret, but has none or an empty one: it refuses every delivery."""

    code = "unusable_secret"
    status = 503
