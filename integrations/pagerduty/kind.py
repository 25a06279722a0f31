"""What connections to PagerDuty say. Its two APIs have two hosts and two kinds of keys."""

from __future__ import annotations

import re

from handrail.catalog.kinds import ConnectionKind, Option, flag, text
from handrail.catalog.models import Connection

EVENTS_NAME = "pagerduty_events"
REST_NAME = "pagerduty"
NOTICES = "notices"
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\Z")

EVENTS = ConnectionKind(
    name=EVENTS_NAME,
    title="A PagerDuty service's events",
    schemes=("https",),
    authentications=(Connection.Authentication.KEY,),
    credential="the integration key of an Events API v2 integration",
    options={
        NOTICES: Option(
            flag,
            "Whether Handrail pages through it when a step needs a person: an unknown outcome, a failed undoing.",
        ),
    },
)
REST = ConnectionKind(
    name=REST_NAME,
    title="PagerDuty's REST API",
    schemes=("https",),
    authentications=(Connection.Authentication.KEY,),
    credential="a REST API key",
    options={
        "from": Option(
            text("the address of a PagerDuty user", _ADDRESS.match),
            "In whose name it is done.",
            required=True,
        ),
    },
)
