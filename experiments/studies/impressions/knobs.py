"""The two knobs on one synthetic data set, for a notebook; and how pairs are drawn."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.studies.exposure import CLICKS, best_items, recipe
from experiments.studies.impressions import REMOVED, STRENGTHS, judged
from research.data.synthetic import Synthetic, made_fold, relevance
from research.report.pictures import Drawing, blank, legend_above, styled
from research.train.loop import train

ARM = "in-batch"
PLATE = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.8, "lw": 0}
INK = "#d55e00"


def two_knobs(
    world: Synthetic, seed: int = 0, epochs: int | None = None
) -> pd.DataFrame:
    """What each pair of a and b finds, on a data set whose truth is known.

    A model is trained on clicks without log q and served with score / temperature + a
    log q - b log e, e the exposure.

    Args:
      world: of ``make_synthetic``.
      seed: of the clicks and of the training.
      epochs: of the training; default those of the studies.

    Returns:
      One row per pair: a; b; recovered, the share of each user's 20 most relevant items
      among the 20 ranked first; clicked, recall@20 of a held-out click of each user,
      most of which repeat a click of the training part and are in no list; weighted,
      the same with each click weighted by 1 / e; rule, the strength of
      ``correction_strength``, and by_rule, what that alone recovers.
    """
    fold, truth = made_fold(world, CLICKS, seed), best_items(relevance(world))
    config = recipe(ARM, seed, epochs)
    model = train(config, fold)
    logits = model.user_vectors @ model.item_vectors.T / config.temperature
    found = judged(logits, config, world.exposure, fold, truth)
    a, b = np.meshgrid(STRENGTHS, REMOVED, indexing="ij")
    columns = {"a": a, "b": b, "recovered": found.recovered, "clicked": found.clicked}
    columns["weighted"] = found.weighted
    frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    return frame.assign(rule=found.rule, by_rule=found.by_rule)


def draw_pairs(
    panel: Axes,
    strengths: Float[ndarray, " a"],
    removed: Float[ndarray, " b"],
    shares: Float[ndarray, "a b"],
) -> None:
    """Draws what each pair of a and b recovers, darker where more."""
    levels = np.linspace(shares.min(), shares.max() + 1e-9, 15)
    panel.contourf(strengths, removed, shares.T, levels=levels, cmap="Blues")
    panel.set_xlabel("a, log q given back")
    panel.grid(visible=False)


def draw_mark(
    panel: Axes, label: str, pair: tuple[float, float], share: float, marker: str
) -> None:
    """Marks a pair with what it recovers, beside it.

    To the left where a is below 1, or 1 with b above 0, so that numbers don't overlap;
    and where the panel ends to the right, or below where it ends above.
    """
    a, b = pair
    right, top = panel.get_xlim()[1], panel.get_ylim()[1]
    left = a < 1 or (a == 1 and b > 0) or a > 0.85 * right
    below = b > 0.95 * top
    panel.plot(
        *pair, marker, color=INK, ms=8, clip_on=False, markeredgecolor="white",
        ls="none", zorder=3, label=label,
    )  # fmt: skip
    panel.annotate(
        f"{share:.2f}", pair, fontsize=9, bbox=PLATE, textcoords="offset points",
        xytext=(-5 if left else 5, -14 if below else 6),
        ha="right" if left else "left",
    )  # fmt: skip


@styled
def knobs_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws a frame of ``two_knobs``: the truth as a map, and what would be chosen.

    Args:
      frame: of ``two_knobs``.
      title: the heading.
    """
    rule, by_rule = frame.rule.iloc[0], frame.by_rule.iloc[0]
    figure, panel = blank(4.6)
    shares = frame.pivot(index="a", columns="b", values="recovered")
    draw_pairs(panel, shares.index, shares.columns, shares.to_numpy())
    panel.set_ylabel("b, log impressions taken out")
    draw_mark(panel, "the rule", (rule, 0.0), by_rule, "X")
    for label, column, marker in (
        ("chosen by clicks", "clicked", "s"),
        ("chosen by weighted clicks", "weighted", "^"),
        ("best", "recovered", "o"),
    ):
        row = frame.loc[frame[column].idxmax()]
        draw_mark(panel, label, (row.a, row.b), row.recovered, marker)
    heading = "Share of the truly best 20 that each pair recovers, darker: more"
    legend_above(figure, panel, title or heading, 4)
    return Drawing(figure, frame)
