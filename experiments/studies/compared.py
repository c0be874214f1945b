"""Arms of a published split under popularity priors: means, contrasts, their page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.study import Report
from research.contrast import slug
from research.report.contrasts import UNTESTED
from research.report.intervals import ALPHA, Estimate, Interval, holm, two_way
from research.report.pages import interval_text, markdown_page, markdown_table, p_text
from research.report.pictures import EDGE, Drawing, Look
from research.report.records import Stored

PANELS = {"random": "random test items", "shifted": "test items drawn evenly"}
SIDE_BY_SIDE = "Arms are drawn side by side, so that equal lines are seen."


class Served(NamedTuple):
    """An arm and the popularity prior that it is served with."""

    arm: str
    prior: float = 0.0

    def __str__(self) -> str:
        """The arm's name, with the prior where there is one."""
        return self.arm + (f" prior {self.prior:g}" if self.prior else "")


class Pair(NamedTuple):
    """A comparison on a split: one minus the other."""

    split: str
    one: Served
    other: Served


def ndcg_of_users(
    stored: Stored, split: str, served: Served
) -> Float[ndarray, "v seed"]:
    """NDCG@20 of each judged user and seed.

    Args:
      stored: records with priors [p], arms in the header, and of each split ndcg_20
        [arm, p, v, seed].
      split: random or shifted.
      served: an arm and a prior of the records.
    """
    a = stored.header["arms"].index(served.arm)
    p = stored.axis("priors").index(served.prior)
    return stored.arrays[f"{split}_ndcg_20"][a, p].astype(float)


def difference(stored: Stored, pair: Pair) -> Estimate:
    """One minus the other, paired by user and seed."""
    first, second = (
        ndcg_of_users(stored, pair.split, served) for served in (pair.one, pair.other)
    )
    return two_way(first - second)


def contrast_frame(stored: Stored, pairs: Iterable[Pair]) -> pd.DataFrame:
    """A row for each pair, with columns named as for the contrasts of a grid.

    p_holm is adjusted over all rows; where it is below 0.05 the verdict is better or
    worse, else undecided. With one seed there is no test.
    """
    lines = []
    for pair in pairs:
        found = difference(stored, pair)
        arm, against = str(pair.one), str(pair.other)
        line = {"id": slug(f"{pair.split} {arm} vs {against} ndcg@20")}
        line |= {"split": pair.split, "arm": arm, "against": against}
        seeds = ndcg_of_users(stored, pair.split, pair.one).shape[-1]
        p = float(found.p()) if seeds > 1 else np.nan
        lines.append({**line, **found.interval()._asdict(), "p": p})
    columns = ["id", "split", "arm", "against", *Interval._fields, "p"]
    frame = pd.DataFrame(lines, columns=columns).rename(columns={"mean": "difference"})
    p_holm = holm(frame.p.to_numpy(np.float64))
    signs = np.where(frame.difference > 0, "better", "worse")
    verdicts = np.where(p_holm < ALPHA, signs, "undecided")
    verdicts = np.where(np.isnan(p_holm), UNTESTED, verdicts)
    return frame.assign(p_holm=p_holm, verdict=verdicts)


def _contrasts_page(frame: pd.DataFrame, question: str, note: str = "") -> str:
    """The contrasts in Markdown.

    Args:
      frame: from ``contrast_frame``.
      question: of the study.
      note: a sentence on which rows were declared when.
    """
    heads = ["split", "arm", "against", "difference [95 %]", "p", "verdict"]
    rows = [
        [
            f'<a id="{row.id}"></a>{row.split}',
            f"`{row.arm}`",
            f"`{row.against}`",
            interval_text(row.difference, row.low, row.high, "+.4f"),
            p_text(row.p_holm),
            row.verdict,
        ]
        for row in frame.itertuples()
    ]
    return markdown_page(
        f"Contrasts: {question}",
        markdown_table(heads, rows),
        "NDCG@20, paired by user and seed. Intervals are 95 %, two-way over users and "
        f"seeds; p is adjusted by Holm over the rows. {note}".strip(),
    )


def compared_report(
    stored: Stored,
    frame: pd.DataFrame,
    page: Sequence[str],
    compared: pd.DataFrame,
    note: str,
    drawings: Mapping[str, Drawing],
) -> Report:
    """A study's table, page, contrasts and figures.

    Args:
      stored: the records.
      frame: the table.
      page: the study's.
      compared: from ``contrast_frame``.
      note: a sentence on which rows were declared when.
      drawings: by the end of their files' names.
    """
    question = STUDIES[stored.header["grid"]].question
    tables: dict[str, str | pd.DataFrame] = {".csv": frame, "-contrasts.csv": compared}
    tables["-contrasts.md"] = _contrasts_page(compared, question, note)
    return Report(tables, page, drawings)


def draw_line(
    axes: Any,
    place: pd.Series,
    line: pd.DataFrame,
    large: pd.Series,
    look: Look,
    label: str,
) -> None:
    """Draws an arm's NDCG@20 under each prior, with its intervals.

    Args:
      axes: the panel.
      place: of each point along it.
      line: a row for each point: ndcg, low and high.
      large: which points have a large marker.
      look: of the arm.
      label: its entry in the legend.
    """
    axes.errorbar(
        place,
        line.ndcg,
        yerr=np.abs(line[["low", "high"]].sub(line.ndcg, axis=0).T),
        color=look.colour,
        marker=look.marker,
        markersize=4.5,
        elinewidth=1,
        label=label,
    )
    style = {"color": look.colour, "ms": 10, "zorder": 3, **EDGE}
    axes.plot(place[large], line.ndcg[large], look.marker, **style)
