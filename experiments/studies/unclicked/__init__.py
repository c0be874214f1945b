"""Why is a model with log q in the loss hard to serve without popularity?

In-batch sampling never draws an item that has no training click, so its vector stays as
it was initialised, and so does its score. With log q in the loss the scores of rare
items fall with their log q, and those of items without a click stay where they were. A
negative prior, which takes log q back, then puts these items before all others. Here
matrix factorisation is trained on the shifted split of IR-Benchmark [yang2024psl],
whose test items are drawn evenly from the catalogue, and served with every total once
with all items in the lists and once without those that have no training click
(min_clicks 1). Each item of the split has one; what is taken out for validation is the
only one of some. Mixed negatives are drawn from these items, too; there log q of an
item without a click is 0.015 above the exact one on Electronics (docs/deviations.md).

    python -m experiments run unclicked --dataset DIR/electronic
    python -m experiments run unclicked --quick --dataset DIR/electronic

On 2 cores the first takes about 40 minutes, the second 1; on Movies, with --arms
in-batch+logq, 40. The data set is a folder with a random split; the folder with the
shifted one is beside it and has -popularity after its name (docs/outside.md).

Expect that with log q in the loss items without a click fill most of the first 20
places at a total of 0, that recall rises once they are left out, and that a fit of the
test clicks then finds the best total; none of it without log q in the loss, and less of
it with mixed negatives, at 0.1 none.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.runs import clicked_logits, drawn_clicks, metric_means, serve
from experiments.studies import STUDIES
from experiments.studies.calibrated_shift import (
    TEMPERATURES,
    TOTALS,
    config_on,
    trained_halves,
)
from experiments.studies.shift import CHANGES
from experiments.studies.split import splits_of
from experiments.studies.totals import Vectors, means_by_total, save_swept
from experiments.study import StudyOptions
from research.calibration import (
    PLACES,
    Calibration,
    NoScale,
    calibrate,
    calibrate_first,
)
from research.config import Config
from research.prepare import Prepared
from research.serving import Serving

NAME = "unclicked"
CLICKS = (100, 3000)
LISTS = ("all items", "items with a click")
FEW = 5  # training clicks of an item that is rare
FITS: tuple[Callable[..., Calibration], ...] = (
    calibrate,
    partial(calibrate_first, places=PLACES),
)


def run_unclicked(options: StudyOptions) -> Path:
    """Trains each arm on the shifted split at each temperature; returns the records.

    Arrays: those of ``judged_lists``, with first axes of arms, temperatures and seeds;
    temperatures, totals, clicks. The header has the arms.

    Raises:
      InputError: the data set is no folder that has its shifted split beside it.
    """
    study = STUDIES[NAME]
    split = splits_of(study, options, CHANGES, {})["shifted"]
    arms = options.arms or study.arms
    temperatures = TEMPERATURES[2:] if options.quick else TEMPERATURES
    runs = []
    for m, t, seed in np.ndindex(len(arms), len(temperatures), options.seeds):
        config = config_on(split, arms[m], temperatures[t], seed)
        judged = judged_lists(config, options.data_dir)
        runs.append(judged)
        all_items, clicked = judged["recall"].max(axis=1)
        options.progress(
            f"{arms[m]}, temperature {temperatures[t]:g}, seed {seed}: highest recall "
            f"{all_items:.4f}, without {judged['unclicked']} items {clicked:.4f}"
        )
    more = {"totals": TOTALS, "clicks": CLICKS}
    return save_swept(options, NAME, runs, temperatures, more, arms=[*arms])


def judged_lists(
    config: Config, data_dir: str | None
) -> dict[str, Float[ndarray, "..."]]:
    """Trains a model and judges both kinds of lists, of all items and of clicked ones.

    Returns:
      recall [list, total], recall@20 of the judging half; by_fit and by_first [list,
      clicks], the total that as many clicks of the other half give among all items and
      among the first places; recall_by_fit and recall_by_first, recall@20 with them.
      unclicked and items, how many there are; slots, the share of the first 20 places
      that items without a click have at a total of 0, all items listed; gap, their mean
      logit less that of items with at most FEW clicks. NaN where no scale fits, or
      there are no such items.

    Raises:
      NotFinite: a loss was not finite.
    """
    halves = trained_halves(config, data_dir)
    run, (users, items) = halves.judging
    counts = run.task.fold.fitted.item_counts
    unclicked = np.flatnonzero(counts == 0)
    mean = users.mean(axis=0) @ items.T / config.temperature
    rare = (counts > 0) & (counts <= FEW)
    lists: list[dict[str, ndarray]] = []
    for min_clicks in range(len(LISTS)):
        totals = fitted_totals(*halves.setting, min_clicks)
        tried = [*TOTALS, *totals.ravel()]
        vectors = users, items
        (recall,) = means_by_total(run, vectors, tried, min_clicks=min_clicks)
        of_fits = recall[len(TOTALS) :].reshape(totals.shape)
        found = {"recall": recall[: len(TOTALS)]}
        found |= zip(("by_fit", "by_first"), totals, strict=True)
        found |= zip(("recall_by_fit", "recall_by_first"), of_fits, strict=True)
        lists.append(found)
    scorer = serve(run, users, items, serving=Serving(-run.config.logq))
    there = len(unclicked) and rare.any()
    gap = mean[unclicked].mean() - mean[rare].mean() if there else np.nan
    return {
        **{name: np.stack([one[name] for one in lists]) for name in lists[0]},
        "unclicked": np.array(len(unclicked)),
        "items": np.array(len(counts)),
        "slots": np.array(metric_means(run, scorer, ["cold_slots_0"])[0]),
        "gap": np.array(gap),
    }


def fitted_totals(
    run: Prepared, vectors: Vectors, min_clicks: int
) -> Float[ndarray, "2 c"]:
    """Totals that clicks give, among all items and among the first places.

    Args:
      run: the run, judged by these clicks; as many are tried as CLICKS says.
      vectors: of the task's queries and of its candidates.
      min_clicks: items with fewer are left out, and clicks on them.

    Returns:
      [fit, clicks]; NaN where the clicks fit no scale above 0.
    """
    drawn = drawn_clicks(run.task.fold, CLICKS[-1])
    totals = np.full((2, len(CLICKS)), np.nan)
    for n, clicks in enumerate(CLICKS):
        given = clicked_logits(run, *vectors, drawn[:clicks], min_clicks=min_clicks)
        for m, fit in enumerate(FITS):
            with contextlib.suppress(NoScale):
                totals[m, n] = fit(*given).by_rule(1.0).prior + run.config.logq
    return totals
