"""Recall by popularity decile: which tenths of the items an arm finds clicks for."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import pandas as pd

from research.evaluate import formulas
from research.evaluate.metrics import CUTOFF, METRICS, Metric
from research.evaluate.record import DECILES, deciles, held_out
from research.report.lists import check_judged_alike
from research.report.pictures import Drawing, above, blank, cell_lines, look, styled
from research.report.records import RunResult
from research.report.tables import swept_columns, table
from research.types import InputError, Record

NAME = "recall of decile "
KEPT = ["mean", "low", "high", "against", "delta", "delta_low", "delta_high"]
KEPT += ["users", "positives"]


def recall_by_decile(results: Sequence[RunResult], reference: str) -> pd.DataFrame:
    """Recall@20 of the held-out items of each popularity decile, by arm.

    Decile 1 is the tenth of the items with the most training clicks. As the recall of
    bands, it is a mean over the users who have a held-out item there; intervals and
    paired differences are those of ``table``.

    Args:
      results: of ``compare`` or ``load_run``, all on the same data.
      reference: the arm that differences are taken from.

    Returns:
      One row per arm, swept values and decile: mean, low, high; against, delta,
      delta_low, delta_high; users, who have a held-out item there, and positives, the
      number of those items. A decile where nothing is held out has no row.

    Raises:
      InputError: a result holds no lists, as those of ``load_records``; or two are of
        different data.
    """
    pairs = [_by_decile(result) for result in results]
    for result in results[1:]:
        check_judged_alike(results[0], result)
    replaced = [r._replace(record=record) for r, (record, _) in zip(results, pairs)]
    with ExitStack() as added:
        for n in range(DECILES):
            compute = partial(formulas.recall_of_band, band=n)
            entry = Metric(NAME, "recall of a decile", compute, cutoffs=(CUTOFF,))
            added.enter_context(METRICS.added(f"{NAME}{n + 1}", entry))
        frame = table(replaced, reference)
    columns = ["arm", *swept_columns(frame), "decile", *KEPT]
    frame = frame[frame.metric.str.startswith(NAME) & frame["mean"].notna()]
    decile = frame.metric.str.removeprefix(NAME).astype(int)
    positives = decile.map(pairs[0][1])
    frame = frame.assign(decile=decile, positives=positives)
    return frame[columns].reset_index(drop=True)


def with_deciles(record: Record) -> Record | None:
    """The record with deciles of the items in place of bands; None if it names none."""
    item = record.columns.get("item")
    if item is None:
        return None
    return record._replace(band=deciles(record.item_counts)[item].astype(np.uint8))


def _by_decile(result: RunResult) -> tuple[Record, dict[int, int]]:
    """The run's record with deciles in place of bands; held-out items of each."""
    if result.served is None or result.record is None:
        raise InputError(
            f"{result.arm}: records hold no lists; use compare or load_run"
        )
    fold = result.served.fold
    _, item, rank = held_out(fold, result.served.lists)
    decile = deciles(fold.fitted.item_counts)[item].astype(np.uint8)
    held = dict(enumerate(np.bincount(decile, minlength=DECILES).tolist(), start=1))
    return result.record._replace(rank=rank, band=decile, columns={}), held


@styled
def decile_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws recall@20 by popularity decile, one line per arm and swept value.

    Args:
      frame: of ``recall_by_decile``.
      title: the heading.
    """
    swept = [name for name in frame.columns if name not in ("arm", "decile", *KEPT)]
    figure, axes = blank(4.0)
    lines = list(cell_lines(frame, swept))
    for n, (line, style) in enumerate(lines):
        reach = np.stack([line["mean"] - line.low, line.high - line["mean"]])
        beside = 0.08 * (n - (len(lines) - 1) / 2)  # else intervals would hide
        style |= {"marker": look(line.arm.iloc[0]).marker, "elinewidth": 1.1}
        at = line.decile + beside, line["mean"]
        axes.errorbar(*at, yerr=np.maximum(reach, 0), **style)
    axes.set_xticks(range(1, DECILES + 1))
    axes.set_xlabel("popularity decile of the items (1: the most clicked tenth)")
    axes.set_ylabel(f"recall@{CUTOFF} within the decile, 95 % interval")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    above(figure, title or f"Recall@{CUTOFF} by popularity of the held-out items")
    return Drawing(figure, frame)
