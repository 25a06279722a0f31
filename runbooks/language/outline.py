"""The steps of a document as they are written, before it is known to be right.

Ids, kinds, nesting and order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from runbooks.language.definition import Json
from runbooks.language.kinds import KINDS, Kind
from runbooks.language.yaml import Document, Node

Path = tuple[str | int, ...]

SECTIONS = ("steps", "on_failure", "finally")


@dataclass(slots=True, eq=False)
class StepOutline:
    """One step as written. ``id`` is empty where it has none that can be used."""

    id: str
    kind: Kind | None
    node: Node
    path: Path
    section: int
    index: int
    parent: StepOutline | None = None
    children: list[StepOutline] = field(default_factory=list)

    def ancestors(self) -> list[StepOutline]:
        """The step and what it stands in, innermost first."""
        found: list[StepOutline] = []
        step: StepOutline | None = self
        while step is not None:
            found.append(step)
            step = step.parent
        return found

    def loops(self) -> list[StepOutline]:
        """The repeating steps around it, innermost first."""
        return [step for step in self.ancestors()[1:] if step.kind is not None and step.kind.repeats]

    @property
    def item_name(self) -> str:
        """Of a repeating step: its item's name in the expressions inside."""
        return text_of(self.node, "as") or "item"


@dataclass(slots=True)
class Outline:
    """All steps of a document. ``by_id`` has the first of several with the same id."""

    steps: list[StepOutline] = field(default_factory=list)
    by_id: dict[str, StepOutline] = field(default_factory=dict)


def outline(document: Document) -> Outline:
    """Everything that looks like a step, in document order."""
    found = Outline()
    for section, name in enumerate(SECTIONS):
        _read(document.find((name,)), (name,), section, None, found)
    return found


def _read(node: Node | None, path: Path, section: int, parent: StepOutline | None, found: Outline) -> None:
    # Nesting is bounded by the reader of YAML, so this recursion is, too.
    for index, child in enumerate(items_of(node)):
        if not isinstance(child.data, dict):
            continue
        kind = KINDS.get(text_of(child, "kind") or "action") if _may_be_step(child) else None
        step = StepOutline(text_of(child, "id") or "", kind, child, (*path, index), section, index, parent)
        found.steps.append(step)
        if step.id:
            found.by_id.setdefault(step.id, step)
        if parent is not None:
            parent.children.append(step)
        for place in kind.lists(child.data) if kind else ():
            _read(child.find(place), (*step.path, *place), section, step, found)


def _may_be_step(node: Node) -> bool:
    return "kind" not in node.children or isinstance(node.children["kind"].data, str)


def items_of(node: Node | None) -> Iterator[Node]:
    """The items of a list; nothing for anything else."""
    if node is not None and isinstance(node.data, list):
        yield from (node.children[index] for index in range(len(node.data)))


def text_of(node: Node | None, key: str) -> str | None:
    """A field that is text, or None."""
    value: Json = node.children[key].data if node is not None and key in node.children else None
    return value if isinstance(value, str) else None


def why_not_before(reader: StepOutline, read: StepOutline) -> str | None:
    """Why ``read`` cannot have ended when ``reader`` looks at it; None when it can."""
    if read is reader:
        return "is this step itself"
    if read in reader.ancestors():
        return "contains this step, so it has not ended yet"
    if reader in read.ancestors():
        return "is inside this step, so it has not run yet"
    return _why_not_earlier(reader, read) or why_repeated(read, reader.loops())


def why_repeated(read: StepOutline, around: Collection[StepOutline] = ()) -> str | None:
    """Why ``read`` has no one state for who stands inside the loops ``around``; None if it has."""
    loops = [loop for loop in read.loops() if loop not in around]
    if not loops:
        return None
    return f"is done once for each item of '{loops[-1].id}' (what they gave is the list steps.{loops[-1].id}.outputs)"


def _why_not_earlier(reader: StepOutline, read: StepOutline) -> str | None:
    if read.section != reader.section:
        return (
            None
            if read.section < reader.section
            else f"belongs to '{SECTIONS[read.section]}', which runs later"
        )
    mine, other = reader.ancestors(), read.ancestors()
    while mine[-1] is other[-1]:
        mine.pop()
        other.pop()
    branch, beside = mine[-1], other[-1]
    holder = branch.parent
    if branch.path[:-1] != beside.path[:-1] and holder is not None:
        return f"is in another case of '{holder.id}', and only one of them runs"
    if holder is not None and holder.kind is not None and holder.kind.side_by_side:
        return f"runs beside this step, in another branch of '{holder.id}'"
    return None if beside.index < branch.index else "comes later"
