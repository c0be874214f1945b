"""Differences over the draws that break ties in time: each draw is one data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from research.files import beside, replace
from research.report.intervals import over_seeds
from research.report.pages import csv_text
from research.report.records import RunResult

__all__ = ["over_salts", "write_over_salts"]

SALT = "tie_salt"
CUTOFF = 20
NAMES = {"recall": f"R@{CUTOFF}", "ndcg": f"N@{CUTOFF}"}


def over_salts(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns each arm's difference from the reference over the salts, at cut-off 20.

    Columns: arm, metric, against; mean over the salts, low and high, its 95 % t
    interval; least, largest; salts, their number; above, in how many it is above 0.
    """
    out = []
    rows = frame[(frame.k == CUTOFF) & frame.metric.isin(NAMES)].dropna(subset="delta")
    for (arm, metric, against), part in rows.groupby(
        ["arm", "metric", "against"], sort=False
    ):
        deltas = part.sort_values(SALT).delta.to_numpy(np.float64)
        found = over_seeds(deltas)
        line = {"arm": arm, "metric": metric, "against": against, **found._asdict()}
        line |= {"least": deltas.min(), "largest": deltas.max()}
        line |= {"salts": len(deltas), "above": int((deltas > 0).sum())}
        out.append(line)
    return pd.DataFrame(out)


def write_over_salts(
    rows: Sequence[RunResult], frame: pd.DataFrame, path: Path
) -> list[Path]:
    """Writes <path>-over-salts.csv and .md."""
    found = over_salts(frame)
    texts = {
        "-over-salts.csv": csv_text(found),
        "-over-salts.md": _text(found),
    }
    return [replace(beside(path, name), text.encode()) for name, text in texts.items()]


def _text(found: pd.DataFrame) -> str:
    lines = [
        "# Differences over the draws that break ties in time",
        "",
        "| arm | metric | Δ over salts | least | largest | above 0 |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    for row in found.to_dict("records"):
        delta = f"{row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        ends = f"{row['least']:+.4f} | {row['largest']:+.4f}"
        above = f"{row['above']} of {row['salts']}"
        lines.append(
            f"| `{row['arm']}` | {NAMES[row['metric']]} | {delta} | {ends} | {above} |"
        )
    against = "" if found.empty else str(found.against.iloc[0])
    note = (
        f"Δ: difference from `{against}` at the same salt, averaged over seeds and "
        "users; [low, high] is a 95 % t interval over the salts, each of which tests "
        "other films."
    )
    return "\n".join([*lines, "", note, ""])
