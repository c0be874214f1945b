"""What a new results version changes: tables before and after, in Markdown.

    python -m experiments.pages.differences OLD NEW      two folders of results

One row for each long table that both have: its paired differences, the median ratio of
the widths of their intervals, and how many intervals exclude zero before and after, for
the metrics whose differences stand on pages.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from research.evaluate.metrics import METRICS
from research.report.pages import markdown_table, read_table
from research.report.tables import LEADING, TRAILING, swept_columns
from research.types import InputError

ENDS = ["delta", "delta_low", "delta_high"]


def difference(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """A row: numbers of differences and moved ones, ratio of widths, without zero."""
    shown = [name for name, m in METRICS.items() if m.page and m.page.interval]
    key = ["arm", "metric", "k", *swept_columns(old)]
    both = old.merge(new, on=key, suffixes=("_old", "_new"))
    both = both[both.metric.isin(shown)].dropna(subset=["delta_low_old"])
    before, after = (
        both[[f"{n}_{v}" for n in ENDS]].to_numpy() for v in ("old", "new")
    )
    moved = int((np.abs(after[:, 0] - before[:, 0]) > 1e-6).sum())
    widths = [table[:, 2] - table[:, 1] for table in (before, after)]
    wide = widths[0] > 0
    ratio = f"{np.median(widths[1][wide] / widths[0][wide]):.2f}" if wide.any() else "-"
    old_out, new_out = ((t[:, 1] > 0) | (t[:, 2] < 0) for t in (before, after))
    gained, lost = (new_out & ~old_out).sum(), (old_out & ~new_out).sum()
    counts = len(both), moved, ratio, old_out.sum(), new_out.sum()
    return [str(count) for count in (*counts, gained, lost)]


def page(old: Path, new: Path) -> str:
    """The Markdown table over all long tables of two folders of results."""
    rows = []
    for path in sorted(new.glob("tables/*/*.csv")):
        name = path.relative_to(new)
        columns = set(pd.read_csv(path, nrows=0).columns)
        if {*LEADING, *TRAILING} <= columns and (old / name).is_file():
            tables = read_table(old / name), read_table(path)
            if tables[0].delta_low.notna().any():
                rows.append([str(name.relative_to("tables")), *difference(*tables)])
    if not rows:
        raise InputError(f"{old} and {new} have no long table in common")
    headings = ["table", "differences", "moved", "width, new / old"]
    headings += ["exclude zero, old", "new", "gained", "lost"]
    return markdown_table(headings, rows, left=1)


def main(words: list[str]) -> int:
    """Prints the table; returns 0, or 2 for bad input."""
    try:
        if len(words) != 2:
            raise InputError(f"{len(words)} words: expected two folders, OLD NEW")
        print(page(*map(Path, words)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
