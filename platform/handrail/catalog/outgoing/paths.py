"""Which paths a connection allows, judged on the one plain form that is also what is sent. Pure.

Values from alerts reach a path percent-encoded (:mod:`runbooks.language.encodings`), so that a value cannot
add a segment, a query or a fragment. What then still is not plain is refused, not repaired: two programs
rarely repair in the same way, and the difference is where a check is evaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote_to_bytes, urlencode

from handrail.catalog.outgoing.errors import InvalidRequest, NotAllowed

LONGEST = 8000
"""Characters of path and query together: what common servers accept."""

_UNRESERVED = r"A-Za-z0-9._~\-"
_PATH_TEXT = re.compile(rf"(?:[/{_UNRESERVED}!$&'()*+,;=:@]|%[0-9A-Fa-f]{{2}})*\Z")
_QUERY_TEXT = re.compile(rf"(?:[/?{_UNRESERVED}!$&'()*+,;=:@\[\]]|%[0-9A-Fa-f]{{2}})*\Z")
_NEEDLESS_ESCAPE = re.compile(
    rf"%(?:{'|'.join(f'{ord(c):02x}' for c in '-._~')}|3[0-9]|[46][1-9a-f]|[57][0-9a])", re.IGNORECASE
)
_HIDDEN = re.compile(rb"[/\\\x00-\x1f\x7f]")

QueryValue = str | int | float | bool


def target_of(path: str, query: Mapping[str, QueryValue | Sequence[QueryValue]]) -> str:
    """Path and query as they are sent, or :class:`InvalidRequest` with what to change."""
    plain, question_mark, written_query = path.partition("?")
    check_path(plain)
    if not _QUERY_TEXT.match(written_query):
        raise InvalidRequest("The query in `path` holds characters that must be encoded: give it as `query`.")
    added = urlencode([(key, _text(one)) for key, one in _pairs(query)], quote_via=quote, safe="")
    joined = "&".join(part for part in (written_query, added) if part)
    target = _upper_escapes(plain) + ("?" + joined if joined or question_mark else "")
    if len(target) > LONGEST:
        raise InvalidRequest(f"Path and query are longer than {LONGEST} characters.")
    return target


def check_path(path: str) -> None:
    """Refuse a path that is not its own plain form."""
    if not path.startswith("/"):
        raise InvalidRequest("`path` must begin with `/`: the address itself is the connection's affair.")
    if not _PATH_TEXT.match(path):
        raise InvalidRequest("`path` holds characters that must be percent-encoded, or a bad `%` escape.")
    if "//" in path:
        raise InvalidRequest("`path` has an empty segment (`//`): is one of its values empty?")
    if _NEEDLESS_ESCAPE.search(path):
        raise InvalidRequest("`path` escapes a letter, digit, `-`, `.`, `_` or `~`: write it plainly.")
    for segment in path.split("/"):
        _check_segment(segment)


def _check_segment(segment: str) -> None:
    """Look below every layer of escapes: a server behind a proxy may decode twice."""
    seen = segment.encode("ascii")
    while True:
        if seen.partition(b";")[0] in (b".", b".."):
            raise InvalidRequest("`path` has a segment `.` or `..`: write the path without it.")
        if _HIDDEN.search(seen):
            raise InvalidRequest("`path` has an encoded slash, backslash or control character in a segment.")
        decoded = unquote_to_bytes(seen)
        if decoded == seen:
            return
        seen = decoded


def check_allowed(path: str, prefixes: Iterable[str]) -> None:
    """Refuse a path, without its query, that lies below none of the prefixes; none at all allow every path."""
    wanted = list(prefixes)
    if wanted and not any(_below(path, _upper_escapes(prefix)) for prefix in wanted):
        raise NotAllowed(
            # Last what a value may be in: the redactor finds a secret that was cut at the end.
            f"The connection allows the paths {', '.join(wanted)}, and not {path[:200]}"
        )


def _below(path: str, prefix: str) -> bool:
    """Whole segments only: ``/deploys`` allows ``/deploys/7``, not ``/deploys-of-others``."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _upper_escapes(text: str) -> str:
    return re.sub("%[0-9a-f]{2}", lambda match: match.group().upper(), text, flags=re.IGNORECASE)


def _pairs(
    query: Mapping[str, QueryValue | Sequence[QueryValue]],
) -> Iterable[tuple[str, QueryValue]]:
    for key, value in query.items():
        if isinstance(value, (str, int, float)):
            yield key, value
        else:
            yield from ((key, one) for one in value)


def _text(value: QueryValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
