"""What popularity does: recall by decile of the items, and what negatives are drawn."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import jax.numpy as jnp
import numpy as np
import pandas as pd

from research.config import Config
from research.evaluate import formulas
from research.evaluate.metrics import CUTOFF, METRICS, Metric
from research.evaluate.record import DECILES, deciles, held_out
from research.negatives.source import union_log_q
from research.prepare import is_towers, prepare
from research.report.lists import check_judged_alike
from research.report.pictures import Drawing
from research.report.plots import Plot, draw
from research.report.records import RunResult
from research.report.tables import cell_label, swept_columns, table
from research.train.run_state import traced_values
from research.types import Fold, InputError, Record

AXIS = "popularity decile of the items (1: the most clicked tenth)"
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


def decile_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws recall@20 by popularity decile, one line per arm and swept value.

    Args:
      frame: of ``recall_by_decile``.
      title: the heading.
    """
    swept = [name for name in frame.columns if name not in ("arm", "decile", *KEPT)]
    cells = [cell_label(row, swept) for row in frame.to_dict("records")]
    ends = {"mean": "recall", "low": "recall_low", "high": "recall_high"}
    plot = Plot(
        *("lines", "decile", "recall", "cell"),
        band=True,
        title=title or f"Recall@{CUTOFF} by popularity of the held-out items",
        xlabel=AXIS,
        ylabel=f"recall@{CUTOFF} within the decile",
        size=1.3,
    )
    shown = frame.rename(columns=ends).assign(cell=cells)
    return draw(plot, shown)._replace(points=frame)


ABOUT = ("item", "title", "clicks", "decile")


def draw_frame(configs: Mapping[str, Config], fold: Fold) -> pd.DataFrame:
    """The probability q that one drawn negative is an item, by item and config.

    Where a config draws from several sources, q is that of their mixture, as in the log
    q correction.

    Args:
      configs: by the name of their column.
      fold: the phase whose training part is drawn from.

    Returns:
      One row per item of the catalogue, the most clicked first: item (the data set's
      own id), title, clicks in the training part, popularity decile (1 the most
      clicked), and each config's q.

    Raises:
      InputError: a config is invalid, draws no negatives or has a column's name.
      ValueError: a source doesn't know its q.
    """
    items = fold.fitted.items
    counts = fold.fitted.item_counts
    columns = {
        "item": items.names,
        "title": items.titles(),
        "clicks": counts,
        "decile": deciles(counts) + 1,
    }
    ids = jnp.arange(len(counts), dtype=jnp.int32)
    for name, config in configs.items():
        if not is_towers(config):
            raise InputError(f"{name}: model {config.model} draws no negatives")
        if name in columns:
            raise InputError(f"{name} is a column of the frame: take another name")
        run = prepare(config, fold)
        pool, hyper = run.world[0].pool, traced_values(run.config)
        states = tuple(source.init(pool, hyper) for source in run.sources)
        log_q = union_log_q(ids, run.sources, states, pool, config.batch)
        columns[name] = np.exp(np.asarray(log_q, np.float64))
    frame = pd.DataFrame(columns)
    order = np.argsort(-frame.clicks.to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def draw_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws the share of the negatives that each popularity decile of the items gets.

    Args:
      frame: of ``draw_frame``.
      title: the heading.
    """
    names = [name for name in frame.columns if name not in ABOUT]
    points = frame.groupby("decile")[names].sum().reset_index()
    plot = Plot(
        *("lines", "decile", "share", "config"),
        title=title or "Which items become negatives",
        xlabel=AXIS,
        ylabel="share of the drawn negatives",
        size=1.2,
    )
    tidy = points.melt("decile", names, var_name="config", value_name="share")
    return draw(plot, tidy)._replace(points=points)
