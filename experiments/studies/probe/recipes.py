"""The bias of each recipe's gradient beside what it costs in recall.

A recipe's expected gradient is enumerated on a small data set of 6 items, with 4 draws
a row. At the truth, where the model has the law of the clicks, the exact gradient is
zero; what is left of a recipe's gradient is its bias, as a share of the pull of the
positives.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.arms import ARMS, arm
from experiments.studies.probe.estimators import (
    draw_laws,
    enumerated_bias,
    probed_arm,
    small_world,
)
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.report.intervals import Interval
from research.report.pages import (
    interval_text,
    markdown_page,
    markdown_table,
    number_text,
    write_texts,
)
from research.report.records import RunResult

DRAWS = 4  # per row, of all sources together
KNOWN = {"in-batch", "uniform"}  # sources whose law is known apart from their code
NOTE = (
    "Bias: what is left of the expected gradient at the truth, as a share of the pull "
    f"of the positives, {DRAWS} draws a row, enumerated on 6 items. It tells which "
    "recipe has a wrong q; the temperature is no part of it. -: a loss that is no "
    "softmax, columns of one item that are merged, or the full softmax itself."
)


def recipe_bias(config: Config) -> float:
    """The bias of a config's gradient at the truth, as a share of the pull.

    Returns:
      NaN for a loss that is no softmax over the drawn columns, or merged columns.
    """
    names = tuple(spec.split(":")[0] for spec in config.negatives)
    alike = config.loss == "sampled-softmax" and config.duplicates == "keep"
    if not alike or not set(names) <= KNOWN:
        return float("nan")
    each = DRAWS // len(names)
    specs = tuple(n if n == "in-batch" else f"{n}:{each}" for n in names)
    config = dataclasses.replace(config, negatives=specs, batch=each + 1)
    small = small_world(True), small_world(False)
    ready = probed_arm(config, small[0].pool)
    laws = draw_laws(names, small[0])
    at_truth, _ = enumerated_bias(ready, (each,) * len(names), laws, small)
    return at_truth.bias


def write_recipe_bias(
    results: Sequence[RunResult], frame: pd.DataFrame, path: Path
) -> list[Path]:
    """Writes <path>-bias.csv and .md: recall@20, its difference, and the bias."""
    recall = frame[(frame.metric == "recall") & (frame.k == CUTOFF)]
    names = [n for n in recall.arm if "model" not in ARMS[n]]
    table = recall.set_index("arm").loc[names]
    table = table[["mean", "low", "high", "delta", "delta_low", "delta_high"]]
    table = table.assign(bias=[round(recipe_bias(arm(n)), 4) for n in names])
    rows = [
        [
            f"`{name}`",
            interval_text(row["mean"], row["low"], row["high"], ".4f"),
            interval_text(*Interval.of(row, "delta"), "+.4f"),
            number_text(100 * row["bias"], ".1f"),
        ]
        for name, row in table.iterrows()
    ]
    page = markdown_page(
        "Recipes: what each costs in recall, and the bias of its gradient",
        markdown_table(["arm", "R@20", "Δ R@20", "bias (% of the pull)"], rows, left=1),
        NOTE,
    )
    return write_texts(path, {"-bias.csv": table.reset_index(), "-bias.md": page})
