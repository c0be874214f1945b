"""Differences over the draws that break ties in time: each holds out other items."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from research.contrast import Contrast
from research.evaluate.metrics import CUTOFF, METRICS
from research.report.intervals import holm, over_seeds
from research.report.pages import (
    interval_text,
    markdown_page,
    markdown_table,
    p_text,
    write_texts,
)
from research.report.records import RunResult

SALT = "tie_salt"


def over_salts(frame: pd.DataFrame) -> pd.DataFrame:
    """Each arm's difference from the reference over the salts, at cut-off 20.

    Each salt of the hash that breaks ties in time gives another data set. The metrics
    are those with differences on pages. Columns: id, arm, metric, against; mean over
    the salts, low and high, its 95 % t interval, p and p_holm, adjusted over all rows;
    least, largest; salts, their number; above, how many have a difference above 0.
    """
    lines = []
    compared = [n for n, m in METRICS.items() if m.page and m.page.interval]
    rows = frame[(frame.k == CUTOFF) & frame.metric.isin(compared)]
    for (arm, metric, against), part in rows.dropna(subset="delta").groupby(
        ["arm", "metric", "against"], sort=False
    ):
        deltas = part.sort_values(SALT).delta.to_numpy(np.float64)
        name = Contrast(str(arm), str(against), str(metric), CUTOFF).id
        line = {"id": name, "arm": arm, "metric": metric, "against": against}
        estimate = over_seeds(deltas)
        line |= estimate.interval()._asdict() | {"p": float(estimate.p())}
        line |= {"least": deltas.min(), "largest": deltas.max()}
        line |= {"salts": len(deltas), "above": int((deltas > 0).sum())}
        lines.append(line)
    out = pd.DataFrame(lines)
    return out.assign(p_holm=holm(out.p.to_numpy(np.float64))) if lines else out


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
    texts = {"-over-salts.csv": differences, "-over-salts.md": _salts_page(differences)}
    return write_texts(path, texts)


def _salts_page(differences: pd.DataFrame) -> str:
    rows = []
    for row in differences.to_dict("records"):
        delta = interval_text(row["mean"], row["low"], row["high"], "+.4f")
        heading = METRICS[row["metric"]].heading(CUTOFF)
        ends = f"{row['least']:+.4f}", f"{row['largest']:+.4f}"
        above = f"{row['above']} of {row['salts']}"
        named = f'<a id="{row["id"]}"></a>`{row["arm"]}`'
        rows.append([named, heading, delta, p_text(row["p_holm"]), *ends, above])
    headings = ["arm", "metric", "Δ over salts", "p", "least", "largest", "above 0"]
    against = "" if differences.empty else str(differences.against.iloc[0])
    return markdown_page(
        "Differences over the draws that break ties in time",
        markdown_table(headings, rows, left=2),
        f"Δ: difference from `{against}` at the same salt, averaged over seeds and "
        "users; [low, high] is a 95 % t interval over the salts, each of which tests "
        "other films; p is adjusted by Holm over the rows.",
    )
