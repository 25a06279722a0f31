"""The usual names of an alert's fields, for bodies that come without a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from handrail.alerts.bodies import JsonValue, read_json
from handrail.alerts.errors import IntakeError
from handrail.alerts.events import AlertStatus, as_text

MAX_SCOPES = 200
MAX_SCOPE_DEPTH = 4

# Names are compared without case, `_`, `-`, `.` and blanks. Earlier names win over later ones, and for one
# name the outermost object wins.
STATUS_KEYS = [
    "eventvalue",
    "conclusion",
    "newstatevalue",
    "monitorcondition",
    "alerttransition",
    "alertstatus",
    "alertstate",
    "currentstate",
    "currentstatus",
    "incidentstate",
    "status",
    "state",
    "statusextended",
    "resolutionstate",
    "alerttypefriendlyname",
    "eventtype",
    "alerttype",
    "event",
    "eventaction",
    "action",
    "type",
]
EVENT_KEYS = ["eventtype", "event", "eventaction", "action", "type"]
# A word under one of these is a status even when we do not know it: guessing `firing` would be wrong.
STATUS_ONLY_KEYS = frozenset(
    {
        "conclusion",
        "newstatevalue",
        "monitorcondition",
        "alertstatus",
        "alertstate",
        "currentstate",
        "incidentstate",
        "status",
        "state",
    }
)
SEVERITY_KEYS = [
    "severity",
    "alertseverity",
    "severityname",
    "level",
    "loglevel",
    "importancelevel",
    "priority",
    "alertpriority",
    "urgency",
]
# Titles by how surely they are one; within the second group the outermost object wins, whichever name it
# uses.
TITLE_KEYS = [
    "rulename",
    "title",
    "alerttitle",
    "alertname",
    "alarmname",
    "alertrule",
    "conditionname",
    "checkname",
    "monitorfriendlyname",
    "monitorname",
    "eventtitle",
    "headline",
    "subject",
    "trigger",
]
NAME_KEYS = ["name", "displayname", "summary", "message", "text", "msg", "monitor", "rule"]
# Where something is and what it is make a title together.
PLACE_TITLE_KEYS = ["host", "hostname"]
THING_TITLE_KEYS = ["datasource", "service"]
LAST_TITLE_KEYS = ["url", "monitorurl", "alertid"]
DESCRIPTION_KEYS = [
    "description",
    "alertdescription",
    "alarmdescription",
    "longdescription",
    "details",
    "body",
    "output",
    "reason",
    "newstatereason",
    "message",
    "msg",
    "text",
    "summary",
]
IDENTITY_KEYS = [
    "fingerprint",
    "dedupkey",
    "incidentkey",
    "alertid",
    "incidentid",
    "checkid",
    "triggerid",
    "ruleid",
    "issueidentifier",
    "issueid",
    "monitorid",
    "testid",
    "conditionid",
    "alarmarn",
    "eventid",
    "id",
    "uid",
    "uuid",
    "alarmname",
    "monitorurl",
    "url",
]
STARTED_KEYS = [
    "startsat",
    "startedat",
    "downat",
    "starttime",
    "start",
    "fireddatetime",
    "triggeredat",
    "firstseen",
    "createdat",
    "createdon",
    "opentime",
    "openedat",
    "timeraised",
    "datestartzoned",
    "statechangetime",
    "statechangedtimestamp",
    "occurredat",
    "timestamp",
    "date",
    "datetime",
    "time",
    "ts",
    "recordedat",
]
# What these name is the moment of the message: where it says that all is well again, the end.
MESSAGE_TIME_KEYS = frozenset({"statechangetime", "statechangedtimestamp", "timestamp", "ts", "recordedat"})
ENDED_KEYS = [
    "endsat",
    "endedat",
    "endtime",
    "end",
    "resolveddatetime",
    "resolvedat",
    "closedat",
    "recoveredat",
    "upat",
]
LABEL_KEYS = ["labels", "tags"]
ITEM_KEYS = frozenset({"alerts", "events", "incidents", "messages", "items", "records"})
# Objects that tell who sent it or whom it concerns, and so never what the alert is.
BYSTANDERS = frozenset(
    {
        "workflow",
        "checksuite",
        "headcommit",
        "actor",
        "agent",
        "user",
        "sender",
        "project",
        "organization",
        "repository",
        "installation",
        "account",
        "owner",
        "team",
        "source",
        "service",
        "board",
        "client",
        "app",
        "page",
        "meta",
        "assignedtouser",
    }
)
_NAMES = frozenset([*TITLE_KEYS, *NAME_KEYS])
# Objects around which an envelope of an event stands: an `id` outside of them is that of the event.
ENVELOPED = frozenset({"data", "detail"})
EVENT_ID_KEYS = frozenset({"eventid", "id", "uid", "uuid"})
WRAPPERS = frozenset({"message", "payload", "body"})

_STATUS_WORDS: dict[AlertStatus, str] = {
    AlertStatus.FIRING: (
        "firing fired fire alerting alert alarm trigger triggered open opened reopened active activated "
        "problem down fail failed failing failure error critical crit warning warn new create created "
        "missing missed unhealthy offline anomalous timedout unresolved breached started unreachable "
        "unavailable degraded outage"
    ),
    AlertStatus.RESOLVED: (
        "resolve resolved ok okay up close closed recover recovered recovery inactive healthy normal "
        "success succeeded passing passed fixed clear cleared ended deactivated operational online "
        "green stopped"
    ),
    AlertStatus.ACKNOWLEDGED: "acknowledge acknowledged ack acked",
    AlertStatus.NO_DATA: "nodata renodata insufficientdata nodatapoints",
}
STATUS_WORDS: dict[str, AlertStatus] = {
    word: status for status, words in _STATUS_WORDS.items() for word in words.split()
}
HEARTBEATS = {"0": AlertStatus.FIRING, "1": AlertStatus.RESOLVED}
# What a sender writes where it means "nothing": unfilled template variables, SCOM's "np", a null that
# became text.
_NOTHING = frozenset({"", "null", "none", "nil", "undefined", "np", "n/a", "<na>", "%s"})


@dataclass(frozen=True, slots=True)
class Found:
    """A scalar found under a key: the key as it stands, its plain form, and the text."""

    key: str
    plain: str
    text: str


def plain(name: str) -> str:
    """A key or word without case, blanks, `_`, `-` and `.`."""
    return "".join(character for character in name[:100].lower() if character not in " _-.")


def is_placeholder(text: str) -> bool:
    """True for text that a sender meant to fill in and did not: `$TITLE`, `${x}`, `*duration*`, `{{ x }}`."""
    bare = text.strip()
    if len(bare) > 1 and bare[0] == "$":
        return all(character.isalnum() or character in "_${}." for character in bare)
    return len(bare) > 2 and (
        (bare[0] == bare[-1] == "*" and " " not in bare) or (bare.startswith("{{") and bare.endswith("}}"))
    )


class Fields:
    """Looks up fields in an item and in the objects inside it, the outermost first."""

    def __init__(self, item: JsonValue) -> None:
        self.scopes: list[dict[str, tuple[str, JsonValue]]] = [
            {plain(key): (key, value) for key, value in reversed(scope.items())} for scope in _scopes(item)
        ]

    def enveloped(self) -> list[Fields]:
        """What stands in the envelopes of events: objects under `data` beside which nothing bears a title."""
        return [
            Fields(scope[name][1])
            for scope in self.scopes
            for name in ENVELOPED & scope.keys()
            if isinstance(scope[name][1], dict) and ("specversion" in scope or not _NAMES & scope.keys())
        ]

    def scalars(self, names: list[str]) -> Iterator[Found]:
        """The scalars under these names, best name first, without empty ones."""
        for name in names:
            for scope in self.scopes:
                if name not in scope:
                    continue
                key, value = scope[name]
                text = (as_text(value) or "").strip()
                if text.lower() not in _NOTHING:
                    yield Found(key=key, plain=name, text=text)

    def outermost_texts(self, names: list[str]) -> Iterator[str]:
        """The texts under any of these names, from the outermost object inwards; no unfilled variables."""
        for scope in self.scopes:
            for name in names:
                text = (as_text(scope[name][1]) or "").strip() if name in scope else ""
                if text.lower() not in _NOTHING and not is_placeholder(text):
                    yield text

    def texts(self, names: list[str], *, placeholders: bool = False) -> Iterator[str]:
        """As `scalars`, only the text; unfilled template variables last, and only if asked for."""
        unfilled: list[str] = []
        for found in self.scalars(names):
            if is_placeholder(found.text):
                unfilled.append(found.text)
            else:
                yield found.text
        if placeholders:
            yield from unfilled

    def values(self, names: list[str]) -> Iterator[JsonValue]:
        """Whatever stands under these names: objects and arrays too."""
        for name in names:
            for scope in self.scopes:
                if name in scope:
                    yield scope[name][1]


def _scopes(item: JsonValue) -> Iterator[dict[str, JsonValue]]:
    level: list[JsonValue] = [item]
    count = 0
    for _ in range(MAX_SCOPE_DEPTH):
        deeper: list[JsonValue] = []
        for entry in level:
            if isinstance(entry, dict) and count < MAX_SCOPES:
                count += 1
                yield entry
                inner = (
                    _unwrapped(key, value) for key, value in entry.items() if plain(key) not in BYSTANDERS
                )
                deeper.extend(value for value in inner if isinstance(value, dict))
        level = deeper


def _unwrapped(key: str, value: JsonValue) -> JsonValue:
    """The document inside a text, as Amazon SNS puts it under `Message`; any other value as it is."""
    if plain(key) in WRAPPERS and isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return read_json(value.encode("utf-8", "surrogatepass"))
        except IntakeError:
            return value  # text that only begins like JSON
    return value
