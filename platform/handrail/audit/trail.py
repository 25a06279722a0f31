"""The trail as a stream of links: from the database, to the lines of an export, and back from them.

A line of an export is ``{"chain", "entry", "previous_hash", "hash"}``; the last one is ``{"heads": {chain:
{"n", "hash"}}}``, so that an export that was cut short does not pass for whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from handrail.audit.chain import INSTALLATION
from handrail.audit.entries import entry_of
from handrail.audit.models import AuditEntry, AuditHead
from handrail.audit.verification import Link, Place
from handrail.shared.errors import Invalid

CHUNK = 2000


def head() -> Place:
    """Where the installation's chain ends now."""
    row = AuditHead.objects.filter(pk=INSTALLATION).first()
    return Place() if row is None else Place(row.n, row.hash)


def installation_links() -> Iterator[Link]:
    """The installation's chain, in order, streamed; and whatever stands in its table under another name."""
    rows = AuditEntry.objects.order_by("chain", "n")
    for row in rows.iterator(chunk_size=CHUNK):
        yield Link(row.chain, entry_of(row), row.previous_hash, row.hash)


def line_of(link: Link) -> str:
    """The export's line of a link."""
    return json.dumps(
        {"chain": link.chain, "entry": link.entry, "previous_hash": link.previous_hash, "hash": link.hash}
    )


def last_line(heads: Mapping[str, Place]) -> str:
    """The export's last line."""
    return json.dumps(
        {"heads": {chain: {"n": place.n, "hash": place.hash} for chain, place in heads.items()}}
    )


class Export:
    """The lines of an export, read once; ``heads`` is there after the last one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.heads: dict[str, Place] = {}

    def links(self) -> Iterator[Link]:
        """All links. Raises Invalid, naming the line, for what is no line of an export, or no last line."""
        for number, line in enumerate(self._lines, start=1):
            if self.heads:
                raise Invalid(f"Line {number} of the export stands after its last line.")
            try:
                document = json.loads(line)
                if "heads" in document:
                    self.heads = {
                        chain: Place(int(place["n"]), str(place["hash"]))
                        for chain, place in document["heads"].items()
                    }
                    continue
                link = Link(
                    str(document["chain"]),
                    dict(document["entry"]),
                    str(document["previous_hash"]),
                    str(document["hash"]),
                )
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise Invalid(f"Line {number} is not a line of an export of the audit trail.") from error
            yield link
        if not self.heads:
            raise Invalid("The export has no last line: it was cut short.")
