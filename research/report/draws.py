"""The distribution that negatives are drawn from: each item's q under a config."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from research.config import Config
from research.evaluate.record import DECILES, deciles
from research.negatives.source import union_log_q
from research.prepare import is_towers, prepare
from research.report.lists import titles
from research.report.pictures import EDGE, Drawing, above, blank, look, styled
from research.train.run_state import traced_values
from research.types import Fold, InputError

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
        "title": titles(items),
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


@styled
def draw_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws the share of the negatives that each popularity decile of the items gets.

    Args:
      frame: of ``draw_frame``.
      title: the heading.
    """
    names = [name for name in frame.columns if name not in ABOUT]
    points = frame.groupby("decile")[names].sum().reset_index()
    figure, axes = blank(3.6)
    for name in names:
        colour, marker = look(name)
        style = {"color": colour, "marker": marker, "label": name, **EDGE}
        axes.plot(points.decile, points[name], **style)
    axes.set_xticks(range(1, DECILES + 1))
    axes.set_xlabel("popularity decile of the items (1: the most clicked tenth)")
    axes.set_ylabel("share of the drawn negatives")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    above(figure, title or "Which items become negatives")
    return Drawing(figure, points)
