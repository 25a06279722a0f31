"""The one redactor before every sink: it knows each secret value in the forms in which it may reappear."""

from __future__ import annotations

import string
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from handrail.vault.spellings import SHORTEST, Form, forms_of

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MASK = "[redacted]"

MINIMUM_LENGTH = SHORTEST
"""Shorter values would shred all text; :func:`handrail.vault.references.resolve` refuses them as secrets."""

MINIMUM_LINE = 8
"""Lines of a secret of several lines, such as a private key, are hidden alone from this length."""

CUT_FROM = 100
"""Texts of at least so many characters may have been cut by whoever wrote them: then their end is looked at."""

TELLING = 8
"""Characters of a secret's beginning, at such an end, that tell too much; of a shorter form its half."""


_CARRYING = frozenset(string.ascii_letters + string.digits + "+/-_")
"""The characters of base64: one of them before a form carries some of its bits."""


class Redactor:
    """Replaces each known value, whole, by ``[redacted]``. Safe to share between threads."""

    def __init__(self, values: Iterable[str]) -> None:
        """``values`` are the resolved secrets; those under four characters are ignored."""
        self._forms: tuple[Form, ...] = ()
        self._beginnings: tuple[_Beginnings, ...] = ()
        self.learn(*values)

    def learn(self, *values: str) -> None:
        """Hide these from now on, too: what is resolved in the middle of an attempt, such as a connection's."""
        known = set(self._forms)
        for value in values:
            lines = [line for line in value.splitlines() if len(line) >= MINIMUM_LINE]
            for text in {value, value.strip(), *lines}:
                if len(text) >= MINIMUM_LENGTH:
                    known.update(forms_of(text))
        neighbours = {(form.left, form.right) for form in known}
        # One assignment of a new tuple: a thread that is redacting goes on with the old one.
        self._beginnings = tuple(
            _Beginnings((form for form in known if (form.left, form.right) == pair), *pair)
            for pair in sorted(neighbours)
        )
        self._forms = tuple(sorted(known, key=lambda form: (len(form.text), form.text)))

    def text(self, text: str) -> str:
        """The text with every known value replaced, and what the end of a long one has left of a value."""
        spans = self.spans(text, cut=len(text) >= CUT_FROM)
        if not spans:
            return text
        pieces: list[str] = []
        position = 0
        for start, end in spans:
            pieces += (text[position:start], MASK)
            position = end
        return "".join((*pieces, text[position:]))

    def data(self, data: Json) -> Json:
        """The same shape with every string redacted, keys and numbers included."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, list):
            return [self.data(item) for item in data]
        if isinstance(data, dict):
            return self.mapping(data)
        if isinstance(data, (int, float)) and not isinstance(data, bool):
            return MASK if self.spans(str(data)) else data
        return data

    def mapping(self, data: Mapping[str, Json]) -> dict[str, Json]:
        """A mapping with its keys and values redacted."""
        return {self.text(key): self.data(item) for key, item in data.items()}

    def stream(self) -> RedactingStream:
        """A redactor of text that arrives in chunks."""
        return RedactingStream(self)

    def spans(self, text: str, masked: int = 0, *, cut: bool = False) -> list[tuple[int, int]]:
        """The places to hide, in order, merged where they overlap; the first ``masked`` are hidden already.

        ``cut``: the beginning of a form at the very end is what is left of it.
        """
        found = [(0, masked)] if masked else []
        rest = self._rest(text) if cut else 0
        if rest:
            found.append((len(text) - rest, len(text)))
        for form in self._forms:
            if len(form.text) > len(text):
                # They are in the order of their lengths.
                break
            at = text.find(form.text)
            while at >= 0:
                end = at + len(form.text)
                found.append((max(at - form.left, 0), min(end + form.right, len(text))))
                at = text.find(form.text, at + 1)
        found.sort()
        merged: list[tuple[int, int]] = []
        for start, end in found:
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _rest(self, text: str) -> int:
        """How many characters at the end are the telling beginning of a form."""
        longest = 0
        for form in self._forms:
            head = form.text[: max(MINIMUM_LENGTH, min(TELLING, len(form.text) // 2))]
            at = text.find(head, max(len(text) - len(form.text), 0))
            while at >= 0 and not form.text.startswith(text[at:]):
                at = text.find(head, at + 1)
            if at >= 0:
                longest = max(longest, min(len(text) - at + form.left, len(text)))
        return longest

    def growing(self, text: str) -> int:
        """How many characters at the end may be the beginning of a form, or a neighbour of one."""
        neighbour = 1 if self._beginnings and text[-1:] in _CARRYING else 0
        return max((beginnings.growing(text) for beginnings in self._beginnings), default=0) or neighbour


class _Beginnings:
    """The forms with the same neighbours, sorted, so that those with one beginning stand together."""

    def __init__(self, forms: Iterable[Form], left: int, right: int) -> None:
        self._texts = sorted(form.text for form in forms)
        self._first = {text[0] for text in self._texts}
        self._longest = max(map(len, self._texts))
        self._left, self._right = left, right

    def growing(self, text: str) -> int:
        for at in range(max(len(text) - self._longest, 0), len(text)):
            if text[at] in self._first and self._goes_on(text[at:]):
                return min(len(text) - at + self._left, len(text))
        return 0

    def _goes_on(self, end: str) -> bool:
        """Whether a form begins with ``end`` and is longer, or would need what follows it."""
        at = bisect_left(self._texts, end)
        if not self._right and self._texts[at : at + 1] == [end]:
            at += 1
        return at < len(self._texts) and self._texts[at].startswith(end)


class RedactingStream:
    """Redacts across chunk boundaries: keeps back what may be the beginning of a form.

    What ``feed`` and ``close`` return, joined, is what :meth:`Redactor.text` makes of the whole.
    """

    def __init__(self, redactor: Redactor) -> None:
        """One stream a source: stdout and stderr each have their own."""
        self._redactor = redactor
        self._kept = ""
        self._masked = 0
        self._heard = 0

    def feed(self, chunk: str) -> str:
        """What can be said already."""
        self._kept += chunk
        self._heard += len(chunk)
        return self._take(len(self._kept) - self._redactor.growing(self._kept))

    def close(self) -> str:
        """The rest."""
        return self._take(len(self._kept), cut=self._heard >= CUT_FROM)

    def _take(self, safe: int, *, cut: bool = False) -> str:
        """Say everything before ``safe``: whatever begins there has also ended within what is kept."""
        pieces: list[str] = []
        position = 0
        masked_beyond = 0
        for start, end in self._redactor.spans(self._kept, self._masked, cut=cut):
            if start >= safe:
                break
            pieces.append(self._kept[position:start])
            if not (start == 0 and self._masked):
                pieces.append(MASK)
            position = end
            masked_beyond = max(end - safe, 0)
        if position < safe:
            pieces.append(self._kept[position:safe])
        self._kept = self._kept[safe:]
        self._masked = masked_beyond if safe else self._masked
        return "".join(pieces)
