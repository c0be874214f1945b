"""Differences over the draws that break ties in time: each draw is one data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.intervals import over_seeds
from research.report.pages import (
    interval_text,
    markdown_page,
    markdown_table,
    write_texts,
)
from research.report.records import RunResult

SALT = "tie_salt"


def over_salts(frame: pd.DataFrame) -> pd.DataFrame:
    """Each arm's difference from the reference over the salts, at cut-off 20.

    Of the metrics that pages give differences of. Columns: arm, metric, against; mean
    over the salts, low and high, its 95 % t interval; least, largest; salts, their
    number; above, in how many it is above 0.
    """
    lines = []
    compared = [n for n, m in METRICS.items() if m.page and m.page.interval]
    rows = frame[(frame.k == CUTOFF) & frame.metric.isin(compared)]
    for (arm, metric, against), part in rows.dropna(subset="delta").groupby(
        ["arm", "metric", "against"], sort=False
    ):
        deltas = part.sort_values(SALT).delta.to_numpy(np.float64)
        line = {"arm": arm, "metric": metric, "against": against}
        line |= over_seeds(deltas)._asdict()
        line |= {"least": deltas.min(), "largest": deltas.max()}
        line |= {"salts": len(deltas), "above": int((deltas > 0).sum())}
        lines.append(line)
    return pd.DataFrame(lines)


def write_over_salts(
    results: Sequence[RunResult], frame: pd.DataFrame, path: Path
) -> list[Path]:
    """Writes <path>-over-salts.csv and .md.

    Args:
      results: of the grid; the frame suffices.
      frame: its long table.
      path: of that table, without its end.
    """
    differences = over_salts(frame)
    texts = {"-over-salts.csv": differences, "-over-salts.md": _page(differences)}
    return write_texts(path, texts)


def _page(differences: pd.DataFrame) -> str:
    rows = []
    for row in differences.to_dict("records"):
        delta = interval_text(row["mean"], row["low"], row["high"], "+.4f")
        heading = METRICS[row["metric"]].heading(CUTOFF)
        ends = f"{row['least']:+.4f}", f"{row['largest']:+.4f}"
        above = f"{row['above']} of {row['salts']}"
        rows.append([f"`{row['arm']}`", heading, delta, *ends, above])
    headings = ["arm", "metric", "Δ over salts", "least", "largest", "above 0"]
    against = "" if differences.empty else str(differences.against.iloc[0])
    return markdown_page(
        "Differences over the draws that break ties in time",
        markdown_table(headings, rows, left=2),
        f"Δ: difference from `{against}` at the same salt, averaged over seeds and "
        "users; [low, high] is a 95 % t interval over the salts, each of which tests "
        "other films.",
    )
