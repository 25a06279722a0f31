"""What is wrong with a document: problems with a place, a path and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

ERROR = "error"
WARNING = "warning"

MOST_PROBLEMS = 200
_LONGEST_COMPARED = 64
_MOST_COMPARED = 400


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of text: 1-based lines and columns (in characters), the end exclusive."""

    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``path`` is like ``steps[2].with.query``.

    ``suggestion`` is the name that was probably meant.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    path: str
    message: str
    suggestion: str | None = None
    severity: str = ERROR

    def __str__(self) -> str:
        """One line for a terminal: ``12:5 steps[2].with.query: message Did you mean 'x'?``."""
        place = f"{self.line}:{self.column}"
        where = f" {self.path}" if self.path else ""
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{place}{where}: {self.message}{hint}"


@dataclass(slots=True)
class Problems:
    """Collects problems; the first of several at the same place with the same words is kept."""

    found: dict[tuple[Span, str], Problem] = field(default_factory=dict)
    dropped: int = 0

    def add(
        self,
        span: Span,
        path: str,
        message: str,
        *,
        suggestion: str | None = None,
        severity: str = ERROR,
    ) -> None:
        """Add one; beyond :data:`MOST_PROBLEMS` they are only counted."""
        if (span, message) in self.found:
            return
        if len(self.found) >= MOST_PROBLEMS:
            self.dropped += 1
            return
        self.found[(span, message)] = Problem(
            span.line, span.column, span.end_line, span.end_column, path, message, suggestion, severity
        )

    @property
    def any_errors(self) -> bool:
        """Whether anything was found that forbids running the document."""
        return any(problem.severity == ERROR for problem in self.found.values())

    def in_order(self) -> tuple[Problem, ...]:
        """All of them in the order of the document."""
        ordered = sorted(self.found.values(), key=lambda problem: (problem.line, problem.column))
        if self.dropped:
            last = ordered[-1]
            ordered.append(
                Problem(
                    last.line,
                    last.column,
                    last.end_line,
                    last.end_column,
                    "",
                    f"{self.dropped} more problems are not listed; mend these first.",
                )
            )
        return tuple(ordered)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by ``name``, or None when nothing is near."""
    known: list[str] = []
    for candidate in candidates:
        if candidate != name and len(candidate) <= _LONGEST_COMPARED:
            known.append(candidate)
        if len(known) >= _MOST_COMPARED:
            break
    if len(name) > _LONGEST_COMPARED:
        return None
    folded = {candidate.casefold().replace("-", "_"): candidate for candidate in reversed(known)}
    matches = get_close_matches(name.casefold().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def path_text(parts: Iterable[str | int]) -> str:
    """``("steps", 2, "with", "query")`` as ``steps[2].with.query``."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: ``a, b or c``."""
    words = list(names)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"
