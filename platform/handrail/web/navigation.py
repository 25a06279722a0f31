"""The header's navigation: one place that names the pages, their order and their keys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A page in the header. `key` is pressed after `g`; `active` marks the one that the reader is on."""

    word: str
    path: str
    icon: str
    key: str
    active: bool = False
    count: int = 0


PLACES = (
    Place("Now", "/", "activity", "n"),
    Place("Incidents", "/incidents/", "siren", "i"),
    Place("Runbooks", "/runbooks/", "book-open", "r"),
    Place("Approvals", "/approvals/", "hand", "a"),
    Place("Audit", "/audit/", "scroll-text", "u"),
)
# Pages that have no place of their own belong to one that has.
BELONGS_TO = {
    "/runs/": "/runbooks/",
    "/switches/": "/runbooks/",
    "/alerts/": "/incidents/",
    "/circuits/": "/",
    "/dead-letters/": "/",
    "/workers/": "/",
}


def places(path: str, pending_approvals: int = 0) -> list[Place]:
    """The header's places for a reader at `path`, with the number of approvals that wait for them."""
    home = next((home for prefix, home in BELONGS_TO.items() if path.startswith(prefix)), path)
    return [
        Place(
            place.word,
            place.path,
            place.icon,
            place.key,
            active=home == place.path or (place.path != "/" and home.startswith(place.path)),
            count=pending_approvals if place.path == "/approvals/" else 0,
        )
        for place in PLACES
    ]
