"""Reads the grammar of an expression for validation.

The names it uses, the functions it calls, what it compares.

The tree comes from cel-python's parser, which sees whole paths; the evaluator's own parser must accept the
expression as well. Importing it takes half a second, so it happens on the first validation only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import compile_expression
from runbooks.language.tokens import MACROS

if TYPE_CHECKING:
    from celpy.celparser import CELParser
    from lark import Token, Tree

FUNCTIONS = frozenset(
    [
        "bytes",
        "contains",
        "double",
        "duration",
        "dyn",
        "endsWith",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
        "has",
        "int",
        "matches",
        "size",
        "startsWith",
        "string",
        "timestamp",
        "type",
        "uint",
    ]
)
"""The functions of the evaluator, macros apart."""

_WRAPPERS = frozenset(
    [
        "expr",
        "conditionalor",
        "conditionaland",
        "relation",
        "addition",
        "multiplication",
        "unary",
        "member",
        "primary",
        "paren_expr",
    ]
)
_LITERALS = {
    "INT_LIT": "integer",
    "UINT_LIT": "integer",
    "FLOAT_LIT": "number",
    "STRING_LIT": "string",
    "MLSTRING_LIT": "string",
    "BYTES_LIT": "bytes",
    "BOOL_LIT": "boolean",
    "NULL_LIT": "null",
}
_RETURNS = {
    "size": "integer",
    "int": "integer",
    "uint": "integer",
    "double": "number",
    "string": "string",
    "has": "boolean",
    "contains": "boolean",
    "startsWith": "boolean",
    "endsWith": "boolean",
    "matches": "boolean",
    "all": "boolean",
    "exists": "boolean",
    "exists_one": "boolean",
    "duration": "span of time",
    "timestamp": "timestamp",
    "map": "list",
    "filter": "list",
}
_OPERATORS = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A name with the fields read from it, as far as they are constant. ``tested``: inside ``has()``."""

    path: tuple[str, ...]
    start: int
    end: int
    tested: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function or method that is called, macros included."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Operand:
    """What is known of a part without evaluating it: its type, its literal text, or what it refers to."""

    type: str | None = None
    text: str | None = None
    reference: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two operands and the operator between them (arithmetic included)."""

    operator: str
    left: Operand
    right: Operand
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Syntax:
    """The parts of an expression that validation looks at."""

    references: tuple[Reference, ...]
    calls: tuple[Call, ...]
    comparisons: tuple[Comparison, ...]
    whole: Operand


@lru_cache(maxsize=2048)
def analyse(source: str) -> Syntax:
    """The parts of an expression. Raises :class:`ExpressionError` where either parser refuses it."""
    compile_expression(source)
    from celpy.celparser import CELParseError

    try:
        tree = _parser().parse(source)
    except CELParseError as error:
        raise ExpressionError(
            "invalid_expression",
            f"This is not a CEL expression: look at line {error.line}, character {error.column}.",
            source,
        ) from None
    return _Walk(source).syntax(tree)


@lru_cache(maxsize=1)
def _parser() -> CELParser:
    from celpy.celparser import CELParser
    from lark import Token

    class Placed(CELParser):
        """The library's own reading of ``true`` and ``false`` forgets where in the text they stand."""

        @staticmethod
        def ambiguous_literals(t: Token) -> Token:
            return Token.new_borrow_pos("BOOL_LIT", t.value, t) if t.value in ("true", "false") else t

    CELParser.CEL_PARSER = None  # made by whoever comes first, and kept for all: it shall be this one
    return Placed()


@dataclass(slots=True)
class _Walk:
    """Goes through a tree without recursion: a long chain of operators is a deep tree."""

    source: str
    references: list[Reference] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    todo: list[tuple[Tree[Token], frozenset[str], bool]] = field(default_factory=list)

    def syntax(self, tree: Tree[Token]) -> Syntax:
        """Everything in the tree."""
        for node in tree.find_pred(lambda found: found.data in ("dot_ident", "dot_ident_arg")):
            start, end = _place(node)
            raise ExpressionError(
                "invalid_expression", "A name does not begin with a dot.", self.source[start:end]
            )
        self.todo.append((tree, frozenset(), False))
        while self.todo:
            self._visit(*self.todo.pop())
        return Syntax(
            tuple(sorted(self.references, key=lambda found: found.start)),
            tuple(sorted(self.calls, key=lambda found: found.start)),
            tuple(sorted(self.comparisons, key=lambda found: found.start)),
            self._operand(tree, frozenset()),
        )

    def _visit(self, tree: Tree[Token], bound: frozenset[str], tested: bool) -> None:
        node = _unwrapped(tree)
        match node.data:
            case "ident" | "member_dot" | "member_index":
                self._chain(node, bound, tested)
            case "member_dot_arg":
                self._method(node, bound)
            case "ident_arg":
                self._function(node, bound)
            case "member_object":
                start, end = _place(node)
                raise ExpressionError(
                    "invalid_expression",
                    "Messages (name{field: ...}) are not available.",
                    self.source[start:end],
                )
            case _:
                self._compare(node, bound)
                self.todo.extend((child, bound, False) for child in _trees(node))

    def _chain(self, node: Tree[Token], bound: frozenset[str], tested: bool) -> None:
        base, path, indexes = _path(node)
        self.todo.extend((index, bound, False) for index in indexes)
        if base is not None:
            self.todo.append((base, bound, False))
        elif path[0] not in bound:
            self.references.append(Reference(path, *_place(node), tested))

    def _method(self, node: Tree[Token], bound: frozenset[str]) -> None:
        receiver, name, arguments = _trees(node)[0], str(node.children[1]), _arguments(node)
        self.calls.append(Call(name, *_place(node)))
        self.todo.append((receiver, bound, False))
        if name in MACROS and len(arguments) > 1:
            variable = _unwrapped(arguments[0])
            if variable.data == "ident":
                bound |= {str(variable.children[0])}
                arguments = arguments[1:]
        self.todo.extend((argument, bound, False) for argument in arguments)

    def _function(self, node: Tree[Token], bound: frozenset[str]) -> None:
        name = str(node.children[0])
        self.calls.append(Call(name, *_place(node)))
        self.todo.extend((argument, bound, name == "has") for argument in _arguments(node))

    def _compare(self, node: Tree[Token], bound: frozenset[str]) -> None:
        trees = _trees(node)
        if len(trees) == 2 and trees[0].data in _OPERATORS:
            self.comparisons.append(
                Comparison(
                    _OPERATORS[trees[0].data],
                    self._operand(_trees(trees[0])[0], bound),
                    self._operand(trees[1], bound),
                    *_place(node),
                )
            )

    def _operand(self, tree: Tree[Token], bound: frozenset[str]) -> Operand:
        node = _unwrapped(tree)
        if node.data == "literal":
            token = node.children[0]
            kind = _LITERALS[getattr(token, "type", "")]
            return Operand(kind, _literal_text(str(token)) if kind == "string" else None)
        if node.data in ("ident", "member_dot", "member_index"):
            base, path, indexes = _path(node)
            known = base is None and not indexes and path[0] not in bound
            return Operand(reference=path) if known else Operand()
        if node.data in ("member_dot_arg", "ident_arg"):
            name = str(node.children[1 if node.data == "member_dot_arg" else 0])
            return Operand(_RETURNS.get(name))
        if node.data in ("conditionalor", "conditionaland", "relation"):
            return Operand("boolean")
        if node.data == "unary" and _trees(node)[0].data == "unary_not":
            return Operand("boolean")
        return Operand({"list_lit": "list", "map_lit": "mapping"}.get(node.data))


def _trees(node: Tree[Token]) -> list[Tree[Token]]:
    return [cast("Tree[Token]", child) for child in node.children if hasattr(child, "children")]


def _unwrapped(tree: Tree[Token]) -> Tree[Token]:
    node = tree
    while node.data in _WRAPPERS and len(node.children) == 1:
        node = _trees(node)[0]
    return node


def _place(node: Tree[Token]) -> tuple[int, int]:
    return int(node.meta.start_pos), int(node.meta.end_pos)


def _arguments(node: Tree[Token]) -> list[Tree[Token]]:
    lists = [child for child in _trees(node) if child.data == "exprlist"]
    return _trees(lists[-1]) if lists and lists[-1] is node.children[-1] else []


def _path(node: Tree[Token]) -> tuple[Tree[Token] | None, tuple[str, ...], list[Tree[Token]]]:
    """A chain of fields.

    What it starts from if that is not a name, the constant path, and the computed indexes.
    """
    selectors: list[str | None] = []
    indexes: list[Tree[Token]] = []
    while node.data in ("member_dot", "member_index"):
        if node.data == "member_dot":
            selectors.append(str(node.children[1]))
        else:
            text = _constant(_trees(node)[1])
            selectors.append(text)
            indexes.extend(_trees(node)[1:] if text is None else [])
        node = _unwrapped(_trees(node)[0])
    if node.data != "ident":
        return node, (), indexes
    path = [str(node.children[0])]
    for name in reversed(selectors):
        if name is None:
            break
        path.append(name)
    return None, tuple(path), indexes


def _constant(tree: Tree[Token]) -> str | None:
    node = _unwrapped(tree)
    if node.data != "literal" or getattr(node.children[0], "type", "") != "STRING_LIT":
        return None
    return _literal_text(str(node.children[0]))


def _literal_text(token: str) -> str | None:
    """The text of a plain string literal.

    None for raw, multi-line or escaped ones, which nobody compares with.
    """
    if token[0] in "'\"" and "\\" not in token and not token.startswith(('"""', "'''")):
        return token[1:-1]
    return None
