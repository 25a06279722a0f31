"""What the values of settings must look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must look like: a pattern for the whole of it, and the words for people.

    ``url``: its host and port must be ones, too.
    """

    pattern: str
    words: str
    url: bool = False

    def fits(self, value: str) -> bool:
        """Whether the value looks like that."""
        return re.fullmatch(self.pattern, value) is not None and (not self.url or _has_place(value))


def _has_place(url: str) -> bool:
    """Whether the host (if any) and the port (if any) of a URL can be read."""
    try:
        parts = urlsplit(url)
        return parts.port is None or parts.hostname is not None
    except ValueError:
        return False


WHOLE = Form(r"[0-9]{1,6}", "a whole number")
POSITIVE = Form(r"0*[1-9][0-9]{0,5}", "a whole number from 1")
SECONDS = Form(r"[0-9]{1,7}(\.[0-9]{1,6})?", "a number of seconds")
_LIMIT = r"0*([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-6])"
PROCESSES = Form(_LIMIT, "a whole number from 1 to 256")
LEASE = Form(r"0*[1-9][0-9]{0,5}(\.[0-9]{1,6})?", "a number of seconds from 1")
QUEUE = Form(r"[A-Za-z0-9._:-]{1,100}", "letters, digits, and the marks . _ : -")
HTTP = Form(
    r"https?://[^\s/?#]+[^\s?#]*", "an http or https address, such as https://handrail.example.com", url=True
)
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
ADDRESS = Form(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):" + _PORT, "host:port, such as 127.0.0.1:8000")
DATABASE = Form(
    r"(postgres|postgresql)://([^\s/@\[\]]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s/@:\[\]]*)(:[0-9]{1,5})?/[^\s/?#]+(\?\S*)?"
    r"|sqlite:///[^\s?#]+",
    "postgres://user:password@host:5432/name (special characters percent-encoded), or sqlite:///path",
    url=True,
)
BROKER = Form(
    r"(redis|rediss|amqp|amqps|filesystem)://\S*",
    "redis://host:6379/0 or amqp://user:password@host:5672/vhost",
    url=True,
)
SEVERITY = Form(r"SEV[1-5]", "SEV1 to SEV5")
_GRANT = r"[A-Za-z0-9_-]+\s*=\s*(env:HANDRAIL_SECRET_[A-Za-z0-9_]*\*?|file:([^\s,*]+\*?|\*))"
GRANTS = Form(
    rf"{_GRANT}(\s*,\s*{_GRANT})*\s*,?",
    "project=env:HANDRAIL_SECRET_NAME or project=file:path, separated by commas, each with a * at its end or without",
)
STORAGE = Form(
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?|/[^\x00]*",
    "the absolute path of a folder, or s3://bucket/prefix",
)


def one_of(*words: str) -> Form:
    """A value that is one of these words, in small letters or large."""
    return Form(f"(?i:{'|'.join(words)})", f"one of {', '.join(words)}")
