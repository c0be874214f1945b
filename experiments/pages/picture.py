"""One figure of any two metrics, of rows of the tables under an output folder.

Rows are chosen by a filter such as ``arm in ("mixed", "ease") and temperature < 0.3``.
"""

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from research.evaluate.metrics import CUTOFF, METRICS
from research.notices import say
from research.report.figures import arms_figure, mark_quick
from research.report.pages import read_table
from research.report.pictures import save_figure
from research.report.records import read_header
from research.types import InputError, choose


def draw_picture(
    out: Path, dataset: str, grids: Sequence[str], where: str, x: str, y: str
) -> list[Path]:
    """Draws one metric against another at cut-off 20; returns the files."""
    for name in (x, y):
        choose(name, METRICS, "metric")
    folder = out / "tables" / dataset
    frame = _long_tables(folder, grids)
    values = [c for c in frame.columns if c not in ("metric", "mean", "low", "high")]
    keep = parse_filter(where, values) if where else lambda row: True
    rows = frame.to_dict("records")
    frame = frame[[keep(row) for row in rows]].reset_index(drop=True)
    shown = frame[frame.metric.isin((x, y)) & (frame.k == CUTOFF)]
    # a cell that several grids hold is drawn once
    measured = ["mean", "low", "high", "seeds", "users", "note"]
    same = [c for c in shown if not c.startswith(("delta", "against"))]
    same = [c for c in same if c not in ("grid", *measured)]
    several = shown.groupby(same, dropna=False)["mean"].nunique() > 1
    if several.any():
        say(
            f"{several.sum()} numbers have another value in another table (another "
            f"split or part, or other fields): the first one is drawn; name the grids"
        )
    shown = shown.drop_duplicates(same).drop(columns="grid").assign(against="")
    shown = shown.reset_index(drop=True)  # grids have references of their own
    if shown.empty:
        raise InputError(
            f"--where '{where}' leaves no row that has {x} and {y} at {CUTOFF} in "
            f"{folder}"
        )
    title = f"{METRICS[y].title(CUTOFF)} against {METRICS[x].title(CUTOFF)}, {dataset}"
    figure, points = arms_figure(shown, title, across=x, up=y)
    if any(_quick(out, dataset, grid) for grid in frame.grid.unique()):
        mark_quick(figure)
    return save_figure(figure, points, out / "figures" / dataset / f"picture-{x}-{y}")


def _quick(out: Path, dataset: str, grid: str) -> bool:
    """Whether a table is of a smoke run, as far as there are records of it."""
    records = out / "records" / dataset / f"{grid}.npz"
    return records.is_file() and bool(read_header(records).get("quick"))


def _long_tables(folder: Path, grids: Sequence[str]) -> pd.DataFrame:
    """The rows of the grids' long tables, one of each cell that several grids hold."""
    paths = [folder / f"{name}.csv" for name in grids] or sorted(folder.glob("*.csv"))
    frames = []
    for path in paths:
        if not path.is_file():
            raise InputError(f"no {path}: run the grid, or report it, first")
        try:
            columns = set(pd.read_csv(path, nrows=0).columns)
            if {"arm", "metric", "k", "mean", "against"} <= columns:
                frames.append(read_table(path).assign(grid=path.stem))
        except (ValueError, LookupError) as error:  # a file of somebody else
            raise InputError(f"{path}: not a table ({error})") from None
    if not frames:
        raise InputError(f"no table of a grid in {folder}")
    return pd.concat(frames, ignore_index=True)


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
_EXPECTED = 'expected comparisons as in arm in ("mixed", "ease") and temperature < 0.3'


def parse_filter(text: str, columns: list[str]) -> Callable[[Mapping[Any, Any]], bool]:
    """A filter of rows from comparisons joined by and, or and not.

    Only names of columns, numbers, texts and lists of them are read; nothing is
    evaluated as code. A row without a value in a compared column doesn't match.

    >>> keep = parse_filter('arm in ("a", "b") and not k < 20', ["arm", "k"])
    >>> keep({"arm": "a", "k": 20}), keep({"arm": "a", "k": 10})
    (True, False)
    """
    cut = text if len(text) <= _LENGTH else text[:_LENGTH] + "..."
    where = f"--where '{cut.encode('unicode_escape').decode()}'"
    try:
        with warnings.catch_warnings(action="ignore"):  # on odd texts
            tree = ast.parse(text.strip(), mode="eval").body
        _matches(tree, dict.fromkeys(columns))  # looks at every part
    except KeyError as error:
        known = f"columns are {', '.join(columns)}"
        raise InputError(f"{where}: no column {error.args[0]}; {known}") from None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise InputError(f"{where}: {_EXPECTED}") from None
    return lambda row: bool(_matches(tree, row))


def _matches(node: ast.AST, row: Mapping[Any, Any]) -> bool | None:
    """Whether a row matches; None where a value that it lacks decides."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _matches(node.operand, row)
        return None if inner is None else not inner
    if isinstance(node, ast.BoolOp):
        decides = isinstance(node.op, ast.Or)
        parts = [_matches(value, row) for value in node.values]
    elif isinstance(node, ast.Compare):
        decides = False
        values = [_value(part, row) for part in (node.left, *node.comparators)]
        for n, (op, part) in enumerate(zip(node.ops, node.comparators), start=1):
            # parentheses alone make no list: ("mixed+logq") would match mixed, too
            if isinstance(part, ast.Constant) and isinstance(op, ast.In | ast.NotIn):
                values[n] = (values[n],)
        parts = list(map(_compared, values, node.ops, values[1:]))
    else:
        raise ValueError(node)
    if decides in parts:
        return decides
    return None if None in parts else not decides


def _value(node: ast.AST, row: Mapping[Any, Any]) -> Any:
    return row[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


def _compared(first: Any, op: ast.cmpop, second: Any) -> bool | None:
    if type(op) not in _COMPARE:
        raise ValueError(op)
    if first is None or second is None or first != first or second != second:
        return None
    try:
        return bool(_COMPARE[type(op)](first, second))
    except TypeError:  # a text beside a number
        return False
