"""What can go wrong with an expression, with words for the person who wrote it."""

from __future__ import annotations

UNSAFE_VALUE = "unsafe_value"
"""The code of a value that may not stand at its place; the message never quotes the value."""


class ExpressionError(Exception):
    """An expression could not be compiled or evaluated.

    ``code`` is ``invalid_expression`` (cannot be read), ``unknown_name`` (reads something that is not there),
    ``null_value`` (reads a field of nothing), ``wrong_type``, ``expression_limit``, ``unsafe_value`` (may not stand at
    this place of a text) or ``evaluation_failed``.
    None of them is worth retrying with the same state. ``path`` is its place in the document.
    """

    retryable = False

    def __init__(
        self, code: str, message: str, expression: str, *, path: str = "", suggestion: str | None = None
    ) -> None:
        """Keep the parts; the text of the exception is :attr:`message` with its place and the expression."""
        self.code = code
        self.message = message
        self.expression = expression
        self.path = path
        self.suggestion = suggestion
        hint = f" Did you mean {suggestion!r}?" if suggestion else ""
        where = f"{path}: " if path else ""
        shown = expression if len(expression) <= 200 else expression[:200] + "…"
        super().__init__(f"{where}{message}{hint} (in the expression: {shown})")

    def at(self, path: str) -> ExpressionError:
        """The same error with its place in the document."""
        return ExpressionError(
            self.code, self.message, self.expression, path=path, suggestion=self.suggestion
        )
