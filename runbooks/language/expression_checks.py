"""Checks the expressions and templates of a document at their places, and reports with exact positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import OPEN, Hole, parts
from runbooks.language.outline import Path
from runbooks.language.problems import ERROR, Problems, path_text
from runbooks.language.scope import Scope, a_kind
from runbooks.language.syntax import Syntax, analyse
from runbooks.language.yaml import Document, Node


@dataclass(frozen=True, slots=True)
class Checking:
    """The document that is checked and where its problems go."""

    document: Document
    problems: Problems

    def say(self, path: Path, message: str, *, suggestion: str | None = None, severity: str = ERROR) -> None:
        """Report at a value, or at the nearest thing around it that is written."""
        node, place = self.document.find(path), path
        while node is None:
            place = place[:-1]
            node = self.document.find(place)
        holder = self.document.find(place[:-1]) if place else None
        span = node.span
        if holder is not None and isinstance(node.data, (dict, list)):
            span = holder.keys.get(str(place[-1]), span)
        self.problems.add(span, path_text(path), message, suggestion=suggestion, severity=severity)

    def condition(self, path: Path, scope: Scope, *, boolean: bool = True) -> None:
        """A bare expression, which must be true or false if ``boolean``."""
        node = self.document.find(path)
        if node is None or not isinstance(node.data, str):
            return
        if OPEN in node.data:
            self.say(path, "An expression stands here as it is, without ${{ }}.")
            return
        syntax = self._expression(node, path, Hole(node.data, 0), scope)
        if syntax is None or not boolean:
            return
        kind = scope.type_of(syntax.whole)
        if kind is not None and kind != "boolean":
            self.say(path, f"This must be true or false; it is {a_kind(kind)}.")

    def type_of(self, path: Path, scope: Scope) -> str | None:
        """The type of a bare expression, as far as it is known; None also for one that is wrong."""
        node = self.document.find(path)
        if node is None or not isinstance(node.data, str):
            return "boolean" if node is not None and isinstance(node.data, bool) else None
        try:
            return scope.type_of(analyse(node.data).whole)
        except ExpressionError:
            return None

    def template(self, path: Path, scope: Scope) -> None:
        """Every string in a value, wherever it holds ``${{ }}``."""
        for inner, node in self.texts(path):
            try:
                pieces = parts(str(node.data))
            except ExpressionError as error:
                self.say(inner, error.message)
                continue
            for piece in pieces:
                if isinstance(piece, Hole):
                    self._expression(node, inner, piece, scope)

    def texts(self, path: Path) -> Iterator[tuple[Path, Node]]:
        """The strings in a value that hold ``${{``, with their paths, in document order."""
        node = self.document.find(path)
        stack = [(path, node)] if node is not None else []
        while stack:
            place, found = stack.pop()
            if isinstance(found.data, str) and OPEN in found.data:
                yield place, found
            stack.extend(((*place, key), child) for key, child in reversed(found.children.items()))

    def _expression(self, node: Node, path: Path, hole: Hole, scope: Scope) -> Syntax | None:
        try:
            syntax = analyse(hole.source)
        except ExpressionError as error:
            span = self.document.within(node, hole.start, hole.start + len(hole.source))
            self.problems.add(span, path_text(path), error.message, suggestion=error.suggestion)
            return None
        for start, end, message, suggestion in scope.findings(syntax):
            span = self.document.within(node, hole.start + start, hole.start + end)
            self.problems.add(span, path_text(path), message, suggestion=suggestion)
        return syntax
