"""Do log q in the loss and a popularity prior when serving do the same?

A model trained with strength lambda of log q in its loss and served with
score / temperature + alpha log q has corrected lambda + alpha in total. Five lambdas by
five temperatures by cosine and dot outputs are trained; each is served with the alphas
that make the same totals. If they do the same, the curves of recall against the total
are one curve. Every model is served twice: with all items in its lists, and
without those that have no training click, whose scores no loss of in-batch negatives
moves (the study ``unclicked``).

A second view needs no clicks: among the films that a user rated in the held-out part,
are those rated 4 and more above those rated 3 and less? There exposure has had its say
already, since each film of the comparison was watched.

    python -m experiments run strength             about 25 minutes on 2 cores, 3 seeds
    python -m experiments run strength --quick     about 1 minute

On MovieLens 1M there are the lambdas 0, 0.5 and 1 at temperatures 0.1 and 0.2 only. On
Electronics (--dataset DIR/electronic --seeds 3: an hour) and Movies (DIR/movie: an
hour) there are the lambdas 0 and 1, with totals up to 2.5: do the curves differ by more
than a shift along the total? On Electronics a third output, bounded, has the bound of
cosines but not their fixed length: which of the two costs log q? On Gowalla
(DIR/gowalla) there is dot at 0.2 alone, for 4 epochs, which are about as many steps as
the cosines of the study ``span`` have.

Expect on MovieLens 100K: recall@20 about 0.24 at a total of 1 wherever it is put; one
curve, nearly, for dot at any temperature and for cosine up to 0.2, once items without a
click are left out. On Electronics and Gowalla: one curve for dot; on Electronics for
cosine at 0.1, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.finish import finish_study
from experiments.grid import SHORTER, Elsewhere, Grid
from experiments.inputs import prepared_run, ratings_of, study_split
from experiments.resolve import resolve
from experiments.serve import serve
from experiments.studies import STUDIES
from experiments.study import StudyOptions, save_measured
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF, METRICS
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.events import catalogue
from research.files import read_arrays
from research.positives import log_share
from research.prepare import Prepared
from research.serving import Serving
from research.splits import TEST

NAME = "strength"
OUTPUTS = ("cosine", "dot", "bounded")
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPERATURES = (0.05, 0.1, 0.2, 0.3, 0.5)
TOTALS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MORE_TOTALS = (*TOTALS, 1.75, 2.0, 2.25, 2.5)
MEASURED = (("recall", CUTOFF), ("recall", 100), ("recall_item", CUTOFF))
CLICKED = "clicked_"  # before the name of what lists without the other items give
LIKED, DISLIKED = 4.0, 3.0  # ratings from, and up to


class Axes(NamedTuple):
    """The values trained with, along each axis of the arrays, and for how long."""

    outputs: tuple[str, ...]
    temperatures: tuple[float, ...]
    lambdas: tuple[float, ...]
    totals: tuple[float, ...] = TOTALS
    epochs: int = Config.epochs


# A run on these takes ten times as long and more: there are fewer of them.
LARGE = {
    "ml-1m": Axes(OUTPUTS[:1], (0.1, 0.2), (0.0, 0.5, 1.0)),
    "electronic": Axes(OUTPUTS, (0.1, 0.2, 0.4), (0.0, 1.0), MORE_TOTALS),
    "movie": Axes(OUTPUTS[:1], (0.2, 0.4), (0.0, 1.0), MORE_TOTALS),
    "gowalla": Axes(OUTPUTS[1:2], (0.2,), (0.0, 1.0), MORE_TOTALS, epochs=4),
}


def axes_of(dataset: str, quick: bool) -> Axes:
    """The axes of a data set's study; a quick run has one temperature, cosine only."""
    if quick:
        return Axes(OUTPUTS[:1], TEMPERATURES[1:2], LAMBDAS[::4])
    return LARGE.get(name_of(dataset), Axes(OUTPUTS[:2], TEMPERATURES, LAMBDAS))


def grid_of(axes: Axes, output: str) -> Grid:
    """The training runs of one kind of output, as a grid of its own folder."""
    return Grid(
        name=NAME,
        question=STUDIES[NAME].question,
        arms=("in-batch",),
        reference="in-batch",
        minutes=STUDIES[NAME].minutes,
        swept={"temperature": axes.temperatures, "logq": axes.lambdas},
        changes={"output": output, "epochs": axes.epochs},
        elsewhere=Elsewhere(changes=SHORTER),
    )


class Rated(NamedTuple):
    """Held-out rated items of the evaluated users, whose likes are compared.

    row is the user's among the evaluated ones; a user without both kinds is left out.
    """

    row: ndarray
    item: ndarray
    liked: Bool[ndarray, " e"]


def rated_later(run: Prepared, data_dir: str | None) -> Rated | None:
    """What each evaluated user rated and no training saw, liked or disliked.

    Of positives those held out; of others, which are in no part of a split, those after
    the last fitted positive, of the test part where the data has parts, or all where it
    has no times. None where the data set has positives alone.
    """
    config, fold = run.config, run.fold
    ratings = ratings_of(config.dataset, data_dir)
    events = catalogue(
        ratings, config.threshold, config.tie_salt, config.library, with_rated=True
    )
    rated = events.rated
    if rated is None:
        return None
    if rated.part is not None:
        late = rated.part == TEST
    else:
        before = np.cumsum(rated.positive) - rated.positive
        first = np.searchsorted(rated.user, rated.user, side="left")
        late = before - before[first] >= np.diff(fold.fitted.offsets)[rated.user]
        late |= not ratings.timed
    n_items = fold.fitted.n_items
    held = fold.held_user.astype(np.int64) * n_items + fold.held_item
    pair = rated.user.astype(np.int64) * n_items + rated.item
    late = np.where(rated.positive, np.isin(pair, held), late)
    liked = rated.rating >= LIKED
    late &= liked | (rated.rating <= DISLIKED)
    row = np.full(fold.fitted.n_users, -1)
    row[fold.evaluated] = np.arange(len(fold.evaluated))
    row = row[rated.user]
    n_users = len(fold.evaluated)
    both = np.ones(n_users, bool)
    for side in (liked, ~liked):
        both &= np.bincount(row[late & side & (row >= 0)], minlength=n_users) > 0
    late &= (row >= 0) & both[row]
    return Rated(row[late], rated.item[late], liked[late])


def area(values: Float[ndarray, " e"], rated: Rated) -> Float[ndarray, " u"]:
    """Each compared user's share of pairs with the liked item above; half for a tie."""
    areas = []
    for row in np.unique(rated.row):
        own = rated.row == row
        liked = values[own & rated.liked][:, None]
        other = values[own & ~rated.liked]
        areas.append(np.mean((liked > other) + 0.5 * (liked == other)))
    return np.array(areas)


def run_strength(options: StudyOptions) -> Path:
    """Trains every model, serves it at every total; returns the records.

    Arrays: recall_20, recall_100 and recall_item_20
    [output, temperature, lambda, seed, total, user], and clicked_recall_20 and so on,
    of lists without unclicked items, where there are such; area the same over the
    compared users.

    Raises:
      InputError: a run failed.
    """
    axes = axes_of(options.dataset, options.quick)
    arrays: dict[str, ndarray] = {}
    shape = *(len(axis) for axis in axes[:3]), options.seeds, len(axes.totals)
    split = study_split(options.dataset, options.data_dir)
    for o, output in enumerate(axes.outputs):
        base = Config(dataset=options.dataset, split=split)
        grid = grid_of(axes, output)
        cells = resolve(grid, base, options.seeds, quick=options.quick)
        for cell, folder in finish_study(cells, NAME, options, output):
            run = prepared_run(cell.config, options.data_dir)
            place = (
                o,
                axes.temperatures.index(cell.swept["temperature"]),
                axes.lambdas.index(cell.swept["logq"]),
                cell.seed,
            )
            found = measured(run, folder, axes.totals, options.data_dir)
            for name, values in found.items():
                size = (*shape, values.shape[1])
                arrays.setdefault(name, np.zeros(size, "<f2"))[place] = values
    arrays |= {
        "temperatures": np.array(axes.temperatures, "<f4"),
        "lambdas": np.array(axes.lambdas, "<f4"),
        "totals": np.array(axes.totals, "<f4"),
    }
    return save_measured(options, NAME, arrays, outputs=list(axes.outputs))


def measured(
    run: Prepared, folder: Path, totals: Sequence[float], data_dir: str | None
) -> dict[str, Float[ndarray, "s u"]]:
    """Each user's numbers at every total, of a finished run."""
    vectors = read_arrays(folder / "vectors.npz")
    fold, rated = run.task.fold, rated_later(run, data_dir)
    users, items = vectors["users"], vectors["items"]
    scores = np.empty(0)
    if rated is not None:
        scores = (users[rated.row] * items[rated.item]).sum(axis=1)
        scores /= run.config.temperature
    log_q = log_share(fold.fitted.item_counts)
    kinds = (("", 0), (CLICKED, 1))[: 1 + bool((fold.fitted.item_counts == 0).any())]
    rows: dict[str, list[ndarray]] = {}
    for total in totals:
        prior = total - run.config.logq
        for kind, min_clicks in kinds:
            serving = Serving(prior, min_clicks=min_clicks)
            scorer = serve(run, users, items, serving=serving)
            lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
            record = evaluate(fold, lists)
            for metric, k in MEASURED:
                values = METRICS[metric].of(record, k)
                rows.setdefault(f"{kind}{metric}_{k}", []).append(values)
        if rated is not None:
            values = scores + prior * log_q[rated.item]
            rows.setdefault("area", []).append(area(values, rated))
    return {name: np.stack(values) for name, values in rows.items()}
