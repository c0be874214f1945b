"""What the study outside shows: each published cell beside ours, with its verdict."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy import ndarray

from experiments.studies import STUDIES, write_report
from experiments.studies.outside import NAME, Cell, read_cells
from research.report.pages import QUICK, markdown_page, markdown_table, number_text
from research.report.records import Stored, load_stored

__all__ = ["AGREES", "DIFFERS", "UNEXPLAINED", "ledger", "report_outside"]

ERRORS = 2.0  # standard errors within which a cell agrees
AGREES, DIFFERS, UNEXPLAINED = "agrees", "differs", "unexplained"


class _Runs:
    """The measured runs of a file of records, by name."""

    def __init__(self, stored: Stored) -> None:
        self.names: list[str] = stored.header["runs"]
        self.metrics: list[str] = stored.header["metrics"]
        self.arrays = stored.arrays

    def of(self, name: str, metric: str) -> tuple[float, float, float, float]:
        """Mean; errors over splits (of the mean) and users; their combined error.

        With one split there is no error over splits, and nothing is combined.
        """
        place = self.names.index(name), slice(None), self.metrics.index(metric)
        values: ndarray = self.arrays["mean"][place]
        splits = np.nan
        if len(values) > 1:
            splits = float(values.std(ddof=1) / np.sqrt(len(values)))
        users = float(np.sqrt(np.mean(self.arrays["error"][place] ** 2)))
        return float(values.mean()), splits, users, float(np.hypot(splits, users))

    def distance(self, name: str, cell: Cell) -> float:
        """How many standard errors the cell lies from a run."""
        mean, _, _, error = self.of(name, cell.metric)
        return (cell.value - mean) / error if error else np.nan


def ledger(stored: Stored, cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell that the records have a run for: published, ours, the verdict.

    The verdict is empty where there are too few splits for one.
    """
    runs, lines = _Runs(stored), []
    for cell in cells:
        if cell.run not in runs.names or cell.k != stored.header["k"]:
            continue
        mean, splits, users, error = runs.of(cell.run, cell.metric)
        distance = runs.distance(cell.run, cell)
        verdict, reason = AGREES, ""
        if np.isnan(distance):
            verdict = ""
        elif abs(distance) > ERRORS:
            verdict = UNEXPLAINED
            explained = cell.because in runs.names
            if explained and abs(runs.distance(cell.because, cell)) <= ERRORS:
                verdict, reason = DIFFERS, cell.because
        lines.append(
            {
                **cell._asdict(),
                "ours": mean,
                "error_splits": splits,
                "error_users": users,
                "error": error,
                "distance": distance,
                "verdict": verdict,
                "reason": reason,
            }
        )
    return pd.DataFrame(lines)


def _page(frame: pd.DataFrame, stored: Stored) -> str:
    study, runs = STUDIES[NAME], _Runs(stored)
    cells = [
        [
            f"{row.row}",
            f"{row.metric}@{row.k}",
            f"{row.value:.4f}",
            f"{row.ours:.4f}",
            *(number_text(x, ".4f") for x in (row.error_splits, row.error_users)),
            number_text(row.distance, "+.1f"),
            str(row.verdict),
            str(row.reason),
        ]
        for row in frame.itertuples()
    ]
    heads = ["published row", "metric", "published", "ours", "error over splits"]
    heads += ["error over users", "distance", "verdict", "because of"]
    means = [
        [name, *(f"{runs.of(name, metric)[0]:.4f}" for metric in runs.metrics)]
        for name in runs.names
    ]
    count = frame.verdict.value_counts()
    total = ", ".join(f"{verdict} {n}" for verdict, n in count.items() if verdict)
    sources = ", ".join(f"[{key}]" for key in dict.fromkeys(frame.source))
    k = stored.header["k"]
    splits = stored.arrays["mean"].shape[1]
    return markdown_page(
        study.question,
        f"Published cells of {sources}, {len(frame)}: {total or 'no verdicts'}. "
        f"Splits of our own: {splits}. Distance: published less ours, in standard "
        "errors, both errors combined. Users are the same in every split, so the "
        "error over users is more than another split alone would bring.",
        QUICK if stored.header["quick"] else "",
        f"Prediction: {study.prediction}",
        markdown_table(heads, cells),
        f"Every run at cut-off {k}, the mean over the splits:",
        markdown_table(["run", *runs.metrics], means, left=1),
    )


def report_outside(records: Path, out: Path) -> list[Path]:
    """Writes the study's tables under out from its records and the published cells.

    Raises:
      InputError: no such file, or of another RECORDS_VERSION.
    """
    stored = load_stored(records)
    frame = ledger(stored, read_cells())
    texts = {".csv": frame, ".md": _page(frame, stored)}
    return write_report(out, stored.header, texts, {})
