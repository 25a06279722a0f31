"""Compares two definitions step by step, in words: ``step `shift`: retry 3 -> 4``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from runbooks.language.definition import Runbook, Step
from runbooks.language.durations import words

_NAMES = {
    "with_": "with",
    "as_": "as",
    "for_": "for",
    "guards": "for",
    "call": "",
    "pool": "runner",
    "finally_": "finally",
}
_SECONDS = frozenset(
    [
        "timeout",
        "schedule_to_start_timeout",
        "schedule_to_close_timeout",
        "heartbeat",
        "initial_interval",
        "max_interval",
        "sustained",
        "interval",
        "for",
        "window",
        "per",
        "after",
    ]
)
_PLACE = frozenset({"line", "path", "steps", "id"})
_WHOLE = frozenset({"steps", "on_failure", "finally_", "inputs", "triggers", "places"})
_LONGEST = 120


class ChangeKind(StrEnum):
    """What happened to a part."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``subject`` is such as ``step `shift```; ``what`` the field.

    The values are short texts.
    """

    kind: ChangeKind
    subject: str
    what: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        """One line."""
        if self.kind is ChangeKind.CHANGED:
            return f"{self.subject}: {self.what} {self.before} -> {self.after}"
        if self.kind is ChangeKind.MOVED:
            return f"{self.subject}: moved {self.before} -> {self.after}"
        return f"{self.subject}: {self.kind}"


def compare(old: Runbook, new: Runbook) -> tuple[Change, ...]:
    """Every difference that means something: the runbook itself, its inputs, its triggers, then its steps."""
    changes = [*_changed("runbook", _facts(old, _WHOLE), _facts(new, _WHOLE))]
    changes += _by_name("input", {one.name: one for one in old.inputs}, {one.name: one for one in new.inputs})
    changes += _by_name(
        "trigger", {one.id: one for one in old.triggers}, {one.id: one for one in new.triggers}
    )
    changes += _by_name("step", {one.id: one for one in old.walk()}, {one.id: one for one in new.walk()})
    changes += _moves(old, new)
    return tuple(changes)


def _by_name(noun: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Change]:
    for name, before in old.items():
        if name not in new:
            yield Change(ChangeKind.REMOVED, f"{noun} `{name}`")
            continue
        yield from _changed(f"{noun} `{name}`", _facts(before, _PLACE), _facts(new[name], _PLACE))
    for name in new:
        if name not in old:
            yield Change(ChangeKind.ADDED, f"{noun} `{name}`")


def _changed(subject: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for what in (*old, *(name for name in new if name not in old)):
        before, after = old.get(what, "none"), new.get(what, "none")
        if before != after:
            shown = what.removesuffix(".max_attempts") if what.startswith("retry") else what
            yield Change(ChangeKind.CHANGED, subject, shown, _short(before), _short(after))


def _facts(part: object, leave_out: frozenset[str]) -> dict[str, str]:
    """The part as flat names with texts: ``retry.max_attempts``, ``with.json.weight``."""
    found: dict[str, str] = {}
    if isinstance(part, Step):
        found["kind"] = part.kind
    for field in fields(part) if is_dataclass(part) else ():
        if field.name not in leave_out:
            name = _NAMES.get(field.name, field.name)
            _flatten(name, getattr(part, field.name), found)
    return found


def _flatten(name: str, value: object, found: dict[str, str]) -> None:
    if value is None or value in ((), {}, "") or _is_steps(value):
        return
    last = name.rpartition(".")[2]
    if is_dataclass(value):
        for field in fields(value):
            inner = _NAMES.get(field.name, field.name)
            _flatten(".".join(filter(None, (name, inner))), getattr(value, field.name), found)
    elif isinstance(value, Mapping):
        for key, inner_value in value.items():
            _flatten(f"{name}.{key}", inner_value, found)
    elif last in _SECONDS and isinstance(value, (int, float)) and "with" not in name.split("."):
        found[name] = words(value)
    elif isinstance(value, (list, tuple)) and any(
        is_dataclass(item) or isinstance(item, dict) for item in value
    ):
        for n, item in enumerate(value):
            _flatten(f"{name}[{n}]", item, found)
    else:
        found[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_steps(value: object) -> bool:
    """Whether these are the steps inside a step: they are compared by themselves."""
    return isinstance(value, tuple) and any(isinstance(item, Step) for item in value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _moves(old: Runbook, new: Runbook) -> Iterator[Change]:
    before, after = _lists(old), _lists(new)
    where_before = {step: where for where, ids in before.items() for step in ids}
    where_after = {step: where for where, ids in after.items() for step in ids}
    for step, where in where_before.items():
        if step in where_after and where_after[step] != where:
            yield Change(ChangeKind.MOVED, f"step `{step}`", "", where, where_after[step])
    for where, ids in before.items():
        stayed = [step for step in ids if where_after.get(step) == where]
        now = [step for step in after.get(where, ()) if where_before.get(step) == where]
        for step in _out_of_order(stayed, now):
            yield Change(
                ChangeKind.MOVED,
                f"step `{step}`",
                "",
                f"place {ids.index(step) + 1}",
                f"place {after[where].index(step) + 1}",
            )


def _lists(runbook: Runbook) -> dict[str, list[str]]:
    """The ids of every list of steps, by where it is."""
    found = {
        "steps": [step.id for step in runbook.steps],
        "on_failure": [step.id for step in runbook.on_failure],
        "finally": [step.id for step in runbook.finally_],
    }
    for step in runbook.walk():
        for name, steps in step.lists():
            found[f"`{step.id}`" + (f" {name}" if name else "")] = [child.id for child in steps]
    return found


def _out_of_order(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The fewest steps whose moving explains the new order."""
    kept: set[str] = set()
    for match in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        kept.update(old[match.a : match.a + match.size])
    return [step for step in new if step not in kept]
