"""What a connection to a service of AWS says."""

from __future__ import annotations

import re

from handrail.catalog.kinds import CERTIFICATE_AUTHORITY, ConnectionKind, Option, text, texts
from handrail.catalog.models import Connection

NAME = "aws"
EVERY = "*"
_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\Z")
_OPERATION = re.compile(r"[A-Z][A-Za-z0-9]{0,99}\Z")

KIND = ConnectionKind(
    name=NAME,
    title="A service of AWS in a region",
    schemes=("https",),
    authentications=(Connection.Authentication.SIGNATURE,),
    credential="`ACCESS_KEY_ID:SECRET_ACCESS_KEY`, for temporary ones with `:SESSION_TOKEN`",
    options={
        "service": Option(
            text("a service as boto3 names it, such as lambda", _SERVICE.match), "The service.", required=True
        ),
        "region": Option(text("a region such as eu-central-1", _SERVICE.match), "The region.", required=True),
        "operations": Option(
            texts(
                f"an operation such as Invoke, or {EVERY!r}",
                lambda one: one == EVERY or _OPERATION.match(one),
            ),
            "The operations that may be called; `*` allows all that the credentials' policy allows.",
            required=True,
        ),
        "certificate_authority": CERTIFICATE_AUTHORITY,
    },
)
