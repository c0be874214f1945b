"""The dial on one synthetic data set, for a notebook: a curve and where the rule is."""

import numpy as np
import pandas as pd

from experiments.studies.dial import ARMS, STRENGTHS, trained
from research.data.synthetic import Synthetic
from research.report.pictures import Drawing, blank, legend_above, look, styled

PANELS = {
    "recovered": "share of the truly best 20 recovered",
    "clicked": "further clicks found (DCG@20)",
}


def dial_curve(
    world: Synthetic, seed: int = 0, epochs: int | None = None
) -> pd.DataFrame:
    """What each strength of the correction finds, on a data set whose truth is known.

    Two models are trained on clicks, without and with log q in the loss, and served
    with popularity priors: strength is the total, log q in the loss plus prior.

    Args:
      world: of ``make_synthetic``.
      seed: of the clicks and of the training.
      epochs: of the training; default those of the study.

    Returns:
      One row per model and strength: arm; strength; recovered, the share of each
      user's 20 most relevant items among the 20 ranked first; clicked, how well further
      clicks are ranked; rule, the strength of ``correction_strength``.
    """
    recovered, clicked, rule = trained(world, seed, epochs)
    n = len(STRENGTHS)
    return pd.DataFrame(
        {
            "arm": np.repeat(ARMS, n),
            "strength": np.tile(STRENGTHS, len(ARMS)) + 0.0,  # no -0
            "recovered": recovered[:, :n].ravel(),
            "clicked": clicked[:, :n].ravel(),
            "rule": rule,
        }
    )


@styled
def dial_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws a curve of ``dial_curve``: the truth on the left, clicks on the right.

    Args:
      frame: of ``dial_curve``.
      title: the heading.
    """
    rule = frame.rule.iloc[0]
    figure, panels = blank(3.8, ncols=len(PANELS))
    for panel, (column, label) in zip(panels, PANELS.items(), strict=True):
        for arm, line in frame.groupby("arm", sort=False):
            style = {"color": look(str(arm)).colour, "label": arm}
            panel.plot(line.strength, line[column], **style)
            best = line.loc[line[column].idxmax()]
            marker = look(str(arm)).marker
            panel.plot(best.strength, best[column], marker, color=style["color"])
        panel.axvline(rule, color="#555555", linestyle=(0, (4, 3)), label="rule")
        panel.set(xlabel="strength: log q in the loss + prior", ylabel=label)
    heading = f"The rule says {rule:.2f}; marks: the highest point of each curve"
    legend_above(figure, panels[0], title or heading, 3)
    return Drawing(figure, frame)
