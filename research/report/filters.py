"""Filters of tables, as in ``arm in ("mixed", "ease") and temperature < 0.3``."""

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from research.types import InputError

Filter = Callable[[Mapping[Any, Any]], bool]  # of one row, by column
# None where a row has no value: then "not" knows no more.
Condition = Callable[[Mapping[Any, Any]], bool | None]

_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, among: value in among,
    ast.NotIn: lambda value, among: value not in among,
}
_LENGTH = 200  # characters of a filter that a message repeats
_SHOWN = 'expected comparisons as in arm in ("mixed", "ease") and temperature < 0.3'


def parse_filter(text: str, columns: list[str]) -> Filter:
    """A filter of rows from comparisons joined by and, or and not.

    Only names of columns, numbers, texts and lists of them are read; nothing is
    evaluated as code. A row without a value in a compared column doesn't match.

    Raises:
      InputError: it can't be parsed, or names an unknown column.

    >>> keep = parse_filter('arm in ("a", "b") and not k < 20', ["arm", "k"])
    >>> keep({"arm": "a", "k": 20}), keep({"arm": "a", "k": 10})
    (True, False)
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # on odd texts
            tree = ast.parse(text.strip(), mode="eval").body
        known = _condition(tree, text, columns)
        return lambda row: bool(known(row))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"--where {_short(text)}: {_SHOWN}") from None


def _short(text: str) -> str:
    """The filter in a message: quoted, on one line, cut where it is long."""
    cut = text if len(text) <= _LENGTH else text[:_LENGTH] + "..."
    return "'" + cut.encode("unicode_escape").decode() + "'"


def _condition(node: ast.AST, text: str, columns: list[str]) -> Condition:
    if isinstance(node, ast.BoolOp):
        parts = [_condition(value, text, columns) for value in node.values]
        every = isinstance(node.op, ast.And)
        return lambda row: _joined([part(row) for part in parts], every)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _condition(node.operand, text, columns)
        return lambda row: None if (found := inner(row)) is None else not found
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        after = [*map(_among, node.ops, node.comparators)]
        sides = [_value(n, text, columns) for n in (node.left, *after)]
        pairs = list(zip(sides, node.ops, sides[1:], strict=False))
        return lambda row: _joined(
            [
                _compared(first(row), type(op), second(row))
                for first, op, second in pairs
            ],
            every=True,
        )
    raise InputError(f"--where {_short(text)}: {_SHOWN}")


def _among(op: ast.cmpop, node: ast.expr) -> ast.expr:
    """What stands behind an operator; behind ``in`` a text is a list of one.

    Parentheses alone make no list, and arm in ("mixed+logq") would match mixed, too.
    """
    one = isinstance(node, ast.Constant) and isinstance(op, ast.In | ast.NotIn)
    return ast.Tuple([node], ast.Load()) if one else node


def _joined(parts: list[bool | None], every: bool) -> bool | None:
    """Parts joined by and (every) or or; None where a missing value decides."""
    if (not every) in parts:
        return not every
    return None if None in parts else every


def _compared(first: Any, op: type, second: Any) -> bool | None:
    if first is None or second is None or first != first or second != second:
        return None
    try:
        return bool(_COMPARE[op](first, second))
    except TypeError:  # a text beside a number
        return False


def _value(
    node: ast.AST, text: str, columns: list[str]
) -> Callable[[Mapping[Any, Any]], Any]:
    if isinstance(node, ast.Name):
        name = node.id
        if name not in columns:
            raise InputError(
                f"--where {_short(text)}: no column {name}; "
                f"columns are {', '.join(columns)}"
            )
        return lambda row: row[name]
    try:
        constant = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise InputError(f"--where {_short(text)}: {_SHOWN}") from None
    return lambda row: constant
