"""Edits that overwrite nobody: ``ETag`` out, ``If-Match`` in; 428 without one, 412 when it is out of date.

And readers who have it already: ``If-None-Match`` in, 304 out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.http import parse_etags
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.shared.errors import Conflict, HandrailError

_TAG = re.compile(r'(?:W/)?"(\d{1,9})(?:-[0-9a-f]{8})?"\Z', re.ASCII)
NO_REVISION = -1


class Stale(HandrailError):
    """Somebody else has changed it since. ``details`` hold what is there now."""

    code = "stale"
    status = 412


class ConditionMissing(HandrailError):
    """An edit without saying what was seen could overwrite another's."""

    code = "condition_missing"
    status = 428


def tagged(revision: int, data: Any) -> Response:
    """The answer with its ``ETag``: the revision, and a digest, as newer facts beside a text are no new revision."""
    digest = hashlib.blake2s(JSONRenderer().render(data), digest_size=4).hexdigest()
    return Response(data, headers={"ETag": f'"{revision}-{digest}"'})


def empty_if_known(request: Request, answer: Response) -> None:
    """Make it 304, without a body, for whoever names its ETag in ``If-None-Match``."""
    own = answer.headers.get("ETag")
    if own is None or answer.status_code != 200 or request.method not in ("GET", "HEAD"):
        return
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if known == ["*"] or own in (each.removeprefix("W/") for each in known):
        answer.status_code, answer.data = 304, None


def expected_revision(request: Request, *, may_be_new: bool = False) -> int:
    """The revision that ``If-Match`` names; 0 for ``If-None-Match: *`` where a first one may be made.

    Raises ConditionMissing without either. A tag that no answer of ours bore matches nothing.
    """
    if may_be_new and request.headers.get("If-None-Match", "").strip() == "*":
        return 0
    given = request.headers.get("If-Match")
    if given is None:
        new = " (for the first draft: If-None-Match: *)" if may_be_new else ""
        raise ConditionMissing(
            f"Send the header If-Match with the ETag that you read, so that nobody's edit is overwritten{new}."
        )
    found = _TAG.match(given.strip())
    return int(found[1]) if found else NO_REVISION


@contextmanager
def stale_when_moved() -> Iterator[None]:
    """Turn the Conflict of an action that compared revisions into 412; other conflicts stay 409."""
    try:
        yield
    except Conflict as error:
        if "revision" not in error.details:
            raise
        stale = Stale(error.message)
        stale.details = dict(error.details)
        raise stale from error
