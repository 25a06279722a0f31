"""Reads YAML 1.2 (core schema) into plain data with the place of every value, refusing what surprises.

libyaml parses; this module composes. It differs from PyYAML's loaders on purpose: ``no``, ``on`` and ``1:30``
are strings (YAML 1.2), and tags, merge keys, duplicate keys, keys that are not strings, recursive or
multiplying aliases, deep nesting and more than one document are errors with a position instead of values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

import yaml

from runbooks.language.definition import Json
from runbooks.language.problems import Problems, Span, nearest, path_text

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_NODES = 20_000

_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_LARGEST = 2**63 - 1


@dataclass(slots=True, eq=False)
class Node:
    """A value with its place. ``children`` are by key or by index.

    ``keys`` are the places of a mapping's keys.
    """

    span: Span
    data: Json = None
    children: dict[str | int, Node] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    start: int = 0
    end: int = 0
    size: int = 1

    def find(self, path: tuple[str | int, ...]) -> Node | None:
        """The node at a path from here, or None."""
        node: Node | None = self
        for part in path:
            node = node.children.get(part) if node else None
        return node


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read. ``complete`` is False when a syntax error cut it short."""

    text: str
    root: Node | None
    complete: bool

    def find(self, path: tuple[str | int, ...]) -> Node | None:
        """The node at a path, or None."""
        return self.root.find(path) if self.root is not None else None

    def within(self, node: Node, start: int, end: int) -> Span:
        """The place of ``node.data[start:end]``, or of the whole value where it is not written literally."""
        value = node.data
        source = self.text[node.start : node.end]
        if not isinstance(value, str):
            return node.span
        at = source.find(value)
        if at >= 0 and source.count(value) == 1:
            return self._span(node.start + at + start, node.start + at + end)
        piece = value[start:end]
        if piece and source.count(piece) == 1:
            at = source.find(piece)
            return self._span(node.start + at, node.start + at + len(piece))
        return node.span

    def _span(self, start: int, end: int) -> Span:
        def place(index: int) -> tuple[int, int]:
            return self.text.count("\n", 0, index) + 1, index - self.text.rfind("\n", 0, index)

        return Span(*place(start), *place(end))


class _StopReadingError(Exception):
    """Reading cannot go on: the problem has been reported."""


def load(source: str | bytes, problems: Problems) -> Document:
    """Read a document; what is wrong is added to ``problems``. Never raises for any input."""
    text = _decoded(source, problems)
    if text is None:
        return Document("", None, complete=False)
    composer = _Composer(text, problems)
    complete = composer.run()
    return Document(text, composer.root, complete)


def _decoded(source: str | bytes, problems: Problems) -> str | None:
    start = Span()
    size = len(source) if isinstance(source, bytes) else len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        problems.add(start, "", f"The document has {size} bytes; {MAX_BYTES} are allowed.")
        return None
    if isinstance(source, bytes):
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError as error:
            before = source[: error.start].decode("utf-8")
            problems.add(_at(before, len(before)), "", "This is not UTF-8 text: save the document as UTF-8.")
            return None
    else:
        text = source
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    odd = _NOT_PRINTABLE.search(text)
    if odd:
        words = f"The character U+{ord(odd.group()):04X} is not allowed in YAML: remove it."
        problems.add(_at(text, odd.start()), "", words)
        return None
    return text


def _at(text: str, index: int) -> Span:
    line, column = text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
    return Span(line, column, line, column + 1)


@dataclass(slots=True)
class _Open:
    """A collection that is being read. ``key`` is the pending key of a mapping."""

    node: Node
    is_mapping: bool
    anchor: str | None
    path: tuple[str | int, ...]
    key: str | None = None
    awaiting_key: bool = True


class _Composer:
    """Builds nodes from libyaml's events with a stack of its own, so no input exhausts the C stack."""

    def __init__(self, text: str, problems: Problems) -> None:
        self.text = text
        self.problems = problems
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.aliases = 0
        self.nodes = 0

    def run(self) -> bool:
        """Read all events; False when reading stopped early. What was read so far is in ``root``."""
        complete = True
        try:
            for event in self._events():
                self._take(event)
        except _StopReadingError:
            complete = False
        while self.open:
            self._close(None)
        return complete

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            # What is never closed is reported where it was opened, not at the end of the text.
            if error.context_mark is not None and _index(mark) >= len(self.text):
                mark = error.context_mark
            place = Span(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2) if mark else Span()
            self.problems.add(place, self._here(), _syntax_words(error, self.text, place))
            raise _StopReadingError from error

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._stop(event, "A file holds one runbook; a second document ('---') starts here.")
        if isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._collection(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(event)

    def _say(self, event: yaml.Event, message: str, *, suggestion: str | None = None) -> None:
        self.problems.add(_span(event), self._here(), message, suggestion=suggestion)

    def _stop(self, event: yaml.Event, message: str) -> NoReturn:
        self._say(event, message)
        raise _StopReadingError

    def _here(self) -> str:
        return path_text(self._path())

    def _path(self) -> tuple[str | int, ...]:
        if not self.open:
            return ()
        top = self.open[-1]
        if top.is_mapping:
            return top.path if top.key is None else (*top.path, top.key)
        return (*top.path, len(top.node.children))

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self._say(event, f"The tag '{event.tag[:60]}' is not allowed: write the plain value.")

    def _count(self, event: yaml.Event, size: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            self._stop(event, f"The document has more than {MAX_NODES} values (aliases counted each time).")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event)
        self._count(event, 1)
        if "\0" in event.value:
            self._say(event, "NUL is not allowed in a text: no database, argument or file name can hold it.")
        if self.open and self.open[-1].is_mapping and self.open[-1].awaiting_key:
            self._key(event)
            return
        node = Node(_span(event), start=_index(event.start_mark), end=_index(event.end_mark))
        node.data = self._resolved(event) if event.implicit[0] and event.tag is None else event.value
        if event.anchor:
            self.anchors[event.anchor] = node
        self._put(node)

    def _key(self, event: yaml.ScalarEvent) -> None:
        top = self.open[-1]
        top.awaiting_key = False
        span, name = _span(event), event.value
        plain = event.style in (None, "") and event.tag is None
        if plain and name == "<<":
            self.problems.add(span, self._here(), "Merge keys ('<<') are not allowed: write the fields out.")
            top.key = None
            return
        if plain and not isinstance(resolve_plain(name), str):
            self.problems.add(span, self._here(), f'Keys are text: write "{name[:60]}" in quotes.')
        if name in top.node.keys:
            first = top.node.keys[name]
            words = f"'{name[:60]}' is written twice; first on line {first.line}."
            self.problems.add(span, path_text((*top.path, name)), words)
            top.key = None
            return
        top.key = name
        top.node.keys[name] = span
        if event.anchor:
            self.anchors[event.anchor] = Node(span, data=name)

    def _resolved(self, event: yaml.ScalarEvent) -> Json:
        value = resolve_plain(event.value)
        if isinstance(value, float) and not math.isfinite(value):
            self._say(event, f"'{event.value[:60]}' is not a finite number.")
            return 0
        if isinstance(value, int) and abs(value) > _LARGEST:
            self._say(event, "This number does not fit 64 bits: write it in quotes if it is an id.")
            return 0
        return value

    def _collection(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._check_tag(event)
        self._count(event, 1)
        if len(self.open) >= MAX_DEPTH:
            self._stop(event, f"Nested deeper than {MAX_DEPTH} levels.")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self.open and self.open[-1].is_mapping and self.open[-1].awaiting_key:
            self._stop(event, "Keys are text; a list or a mapping cannot be a key.")
        node = Node(_span(event), data={} if is_mapping else [], start=_index(event.start_mark))
        self.open.append(_Open(node, is_mapping, event.anchor, self._path()))

    def _close(self, event: yaml.Event | None) -> None:
        done = self.open.pop()
        node = done.node
        if event is not None:
            end = _span(event)
            # A block collection ends where the next token starts; only a collection on one line is marked
            # whole.
            if end.end_line == node.span.line:
                node.span = replace(node.span, end_column=max(end.end_column, node.span.column))
        if done.anchor:
            self.anchors[done.anchor] = node
        self._put(node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._stop(event, f"More than {MAX_ALIASES} aliases: write the values out.")
        if self.open and self.open[-1].is_mapping and self.open[-1].awaiting_key:
            self._stop(event, "Keys are text; an alias cannot be a key.")
        anchor = event.anchor or ""
        node = self.anchors.get(anchor)
        if node is None:
            shown = anchor[:60]
            if any(part.anchor == anchor for part in self.open):
                self._stop(event, f"'*{shown}' stands inside the value that it repeats.")
            words = f"'*{shown}' repeats a value that is not marked '&{shown}' above."
            self._say(event, words, suggestion=nearest(anchor, self.anchors))
            node = Node(_span(event))
        self._count(event, node.size)
        self._put(node)

    def _put(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        top.node.size += node.size
        if isinstance(top.node.data, list):
            top.node.children[len(top.node.data)] = node
            top.node.data.append(node.data)
        elif isinstance(top.node.data, dict):
            if top.key is not None:
                top.node.children[top.key] = node
                top.node.data[top.key] = node.data
            top.key, top.awaiting_key = None, True


def resolve_plain(text: str) -> Json:
    """A plain scalar's value by the core schema of YAML 1.2 (its chapter 10.3.2)."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INT.match(text):
        return _whole(text)
    if _FLOAT.match(text):
        return float(text)
    if _NOT_FINITE.match(text):
        return math.inf
    return text


def _whole(text: str) -> int | float:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    # Python refuses to convert thousands of decimal digits; such a number is out of range anyway.
    return int(text[2:] if base != 10 else text, base) if len(text) < 40 else math.inf


def _span(event: yaml.Event) -> Span:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:  # the types allow it, libyaml always says where
        return Span()
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _index(mark: object) -> int:
    return int(getattr(mark, "index", 0))


def _syntax_words(error: yaml.MarkedYAMLError, text: str, place: Span) -> str:
    """libyaml's words, with what to do for the mistakes that people make most."""
    lines = text.split("\n")
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    problem = error.problem or "this cannot be read"
    if "mapping values are not allowed" in problem:
        return "A ':' is not expected here: check the indentation, or put text that holds ': ' in quotes."
    if "cannot start any token" in problem:
        if "\t" in line[: place.column]:
            return "A tab cannot indent YAML: use spaces."
        return f"'{line[place.column - 1 : place.column]}' cannot start a value: put it in quotes."
    context = f" {error.context}" if error.context else ""
    return f"YAML syntax:{context} {problem}."
