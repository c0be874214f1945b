"""Does a more faithful gradient train a model nearer to the full softmax?

The study ``probe`` measures how far the expected gradient of each corrected estimator
is from that of the full softmax. Here each estimator is trained to the end with n
negatives per row and compared with the full softmax: by the divergence of the users'
distributions over the catalogue, by the overlap of their lists, and by recall. Rows of
a batch keep n of its other rows as negatives, so the steps are equal at every n. The
full softmax trained with another seed gives the least distance to be expected.

The estimator with one column per item is left out: its columns can't differ by row.

    python -m experiments run faithful             about 10 minutes on 2 cores, 3 seeds
    python -m experiments run faithful --quick     about 1 minute

Expect on MovieLens 100K: at n = 63 and above, estimators whose gradients differ much in
bias are equally far from the full softmax.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import log_softmax

from experiments.arms import arm
from experiments.finish import finish_study
from experiments.grid import Cell
from experiments.inputs import prepared_run
from experiments.runs import rank, serve
from experiments.studies.probe import ProbeRunner
from experiments.studies.probe.archive import FAITHFUL, PER_ROW, Measurement
from experiments.studies.probe.bias import make_point
from experiments.studies.probe.estimates import estimate_bias
from experiments.studies.probe.negatives import follow
from experiments.study import Report, StudyOptions, described, save_measured
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF, METRICS
from research.evaluate.record import evaluate
from research.files import read_arrays
from research.report.colours import with_band
from research.report.intervals import Interval, two_way
from research.report.pages import interval_frame, interval_table, interval_text
from research.report.pictures import Drawing, blank, legend_above, look, styled
from research.report.predictions import decided, statement
from research.report.records import Stored

NAME, FULL = "faithful", "full-softmax"
SIZES = (3, 15, 63, 255)
ROWS, DRAWS = 512, 20  # of the probe


class Estimator(NamedTuple):
    """A corrected estimator: changes of the config, and the probe's name for it."""

    changes: Mapping[str, Any]
    probe_name: str
    masked: bool = False


_IMPORTANCE = {"correct_positive": False, "expected_count": True}
# Negatives without the row's own positive: masked in training as in what is measured.
_OWN_OUT = {**_IMPORTANCE, "mask_same_item": True}
ESTIMATORS: dict[str, Estimator] = {
    "logq": Estimator({}, "in-batch+logq"),
    "logq+same-item": Estimator({"mask_same_item": True}, "in-batch+logq", True),
    "importance": Estimator(_IMPORTANCE, "importance"),
    "leave-own-out": Estimator(_OWN_OUT, "leave-own-out", True),
    "positive-forgotten": Estimator({"correct_positive": False}, "positive-forgotten"),
}


class Trained(NamedTuple):
    """What a trained model makes of the evaluated users.

    Attributes:
      log_p: log of its softmax over the catalogue, [u, i].
      lists: its best items, [u, k].
      recall: recall@20, [u].
    """

    log_p: Float[ndarray, "u i"]
    lists: Int[ndarray, "u k"]
    recall: Float[ndarray, " u"]


def _cells(options: StudyOptions) -> list[Cell]:
    """The full softmax, then every estimator at every n, each with every seed."""
    base = options.config(**({"epochs": 2} if options.quick else {}))
    parts: list[tuple[str, dict[str, float], Config]] = [(FULL, {}, arm(FULL, base))]
    for n in _sizes(options):
        config = dataclasses.replace(
            arm("in-batch-part+logq", base), negatives=(f"in-batch-part:{n}",)
        )
        parts += [
            (name, {"n": n}, dataclasses.replace(config, **estimator.changes))
            for name, estimator in ESTIMATORS.items()
        ]
    return [
        Cell(name, swept, seed, dataclasses.replace(config, seed=seed))
        for name, swept, config in parts
        for seed in range(_seeds(options))
    ]


def _sizes(options: StudyOptions) -> tuple[int, ...]:
    return SIZES[:1] if options.quick else SIZES


def _seeds(options: StudyOptions) -> int:
    return max(options.seeds, 2)  # one seed is compared with another one


def _trained(config: Config, folder: Path, data_dir: str | None) -> Trained:
    """The distributions, lists and recall of a finished run, from its folder."""
    run = prepared_run(config, data_dir)
    vectors = read_arrays(folder / "vectors.npz")
    logits = vectors["users"] @ vectors["items"].T / config.temperature
    lists = rank(run, serve(run, vectors["users"], vectors["items"]))
    recall = METRICS["recall"].of(evaluate(run.task.fold, lists), CUTOFF)
    return Trained(log_softmax(logits, axis=1), lists[:, :CUTOFF], recall)


def divergence(of: Trained, by: Trained) -> Float[ndarray, " u"]:
    """Kullback-Leibler divergence of one model's users' distributions by another's.

    Args:
      of: the model whose distribution is the truth, p.
      by: the model that stands in for it, q.

    Returns:
      sum p log(p / q) of each user, in nats, [u].
    """
    return np.asarray((np.exp(of.log_p) * (of.log_p - by.log_p)).sum(axis=1))


def overlap(one: Trained, other: Trained) -> Float[ndarray, " u"]:
    """The share of each user's 20 items that both models recommend, [u]."""
    pairs = zip(one.lists, other.lists, strict=True)
    return np.array([len(np.intersect1d(a, b)) / CUTOFF for a, b in pairs])


def run_faithful(options: StudyOptions) -> Path:
    """Trains the estimators and the full softmax, measures distances; saves records.

    Arrays: divergence and overlap [estimator, n, seed, user] from the full softmax of
    the other seeds, their mean, the full softmax itself in ``full_``-arrays
    [seed, user]; recall likewise; bias [estimator, n] of the gradient of the item
    vectors, as a share.

    Raises:
      InputError: a run failed.
    """
    seeds, sizes = _seeds(options), _sizes(options)
    done = finish_study(_cells(options), NAME, options)
    full = [_trained(cell.config, at, options.data_dir) for cell, at in done[:seeds]]
    bias = _bias(done[0][0].config, options)
    arrays = {"sizes": np.array(sizes, "<i4"), "bias": bias}
    for cell, at in done:
        if cell.arm == FULL:
            model = full[cell.seed]
        else:
            model = _trained(cell.config, at, options.data_dir)
        others = [one for seed, one in enumerate(full) if seed != cell.seed]
        for name, values in _distances(model, others).items():
            shape: tuple[int, ...] = (seeds, len(values))
            place: tuple[int, ...] = (cell.seed,)
            if cell.arm == FULL:
                name = f"full_{name}"
            else:
                shape = (len(ESTIMATORS), len(sizes), *shape)
                f, s = [*ESTIMATORS].index(cell.arm), sizes.index(int(cell.swept["n"]))
                place = (f, s, *place)
            arrays.setdefault(name, np.zeros(shape, "<f2"))[place] = values
    return save_measured(options, NAME, arrays, forms=list(ESTIMATORS))


def _distances(model: Trained, others: list[Trained]) -> dict[str, ndarray]:
    """A model's distances from others in the mean over these, and its recall, [u]."""
    return {
        "divergence": np.mean([divergence(one, model) for one in others], axis=0),
        "overlap": np.mean([overlap(one, model) for one in others], axis=0),
        "recall": model.recall,
    }


def _bias(config: Config, options: StudyOptions) -> Float[ndarray, "f n"]:
    """The bias of each estimator's gradient at the trained full softmax (probe)."""
    run, sizes = prepared_run(config, options.data_dir), _sizes(options)
    models, _ = follow(run, options.progress)
    world, rows = run.world[0], 64 if options.quick else ROWS
    point = make_point(
        *(run.model, models["trained"], world, config.temperature, rows),
        only_fitted=True,
    )
    places = {
        Measurement(
            *(name_of(options.dataset), "trained", "fitted", estimator.probe_name),
            *(estimator.masked, PER_ROW, n, FAITHFUL),
        ): (f, s)
        for f, estimator in enumerate(ESTIMATORS.values())
        for s, n in enumerate(sizes)
    }
    out = np.zeros((len(ESTIMATORS), len(sizes)), "<f4")
    runner = ProbeRunner(config, world.pool)
    draws = 3 if options.quick else DRAWS
    for cell, found in runner.measure(point, list(places), draws):
        out[places[cell]] = estimate_bias(found.products["items"]).bias
    return out


REFERENCE = "logq"  # the estimator that the others are compared with
MARGIN = 0.1  # of the reference's divergence: what counts as equally far
EQUAL_FROM, APART_AT = 63, 3  # numbers of negatives of the prediction's statements
NEARER = "leave-own-out"  # of lower bias, and predicted to be no nearer
LIKE, NEAR = "importance", 0.01  # what its recall@20 is near at few negatives
MEASURED = {
    "divergence": "divergence (nats)",
    "overlap": "shared items of 20",
    "recall": "R@20",
}


def _values(stored: Stored, name: str, estimator: str, n: int) -> np.ndarray:
    """The values of an array for an estimator at n, [user, seed]."""
    f = stored.header["forms"].index(estimator)
    s = stored.arrays["sizes"].tolist().index(n)
    return stored.arrays[name][f, s].astype(float).T


def faithful_frame(stored: Stored) -> pd.DataFrame:
    """One row per estimator and n, the full softmax first: means and 95 % intervals.

    Columns: estimator, n, bias, and of each of MEASURED its mean, _low and _high.
    """
    arrays = stored.floats()
    full = {name: arrays[f"full_{name}"].T[None] for name in MEASURED}
    found = {name: arrays[name].swapaxes(-2, -1) for name in MEASURED}
    first = interval_frame(full, two_way, estimator=["full-softmax"])
    axes = {"estimator": stored.header["forms"], "n": arrays["sizes"]}
    frame = interval_frame(found, two_way, **axes)
    frame.insert(2, "bias", arrays["bias"].ravel())
    rows = [first.assign(n=np.nan, bias=0.0), frame]
    return pd.concat(rows, ignore_index=True)[frame.columns]


def difference(stored: Stored, estimator: str, n: int) -> Interval:
    """An estimator's divergence less the reference's at n, as a share of the latter."""
    other = _values(stored, "divergence", REFERENCE, n)
    found = two_way(_values(stored, "divergence", estimator, n) - other).interval()
    mean, low, high = (float(end) / float(two_way(other).mean) for end in found)
    return Interval(mean, low, high)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    estimators = [name for name in stored.header["forms"] if name != REFERENCE]
    sizes, out = stored.arrays["sizes"].tolist(), []
    for n in (size for size in sizes if size >= EQUAL_FROM):
        for estimator in estimators:
            found = difference(stored, estimator, n)
            text = f"n = {n}: {estimator} is as far as {REFERENCE}, within {MARGIN:.0%}"
            out.append([text, _text(found), found.within(-MARGIN, MARGIN)])
            if estimator == NEARER and n == EQUAL_FROM:
                text = f"n = {n}: {estimator} is not nearer than {REFERENCE}"
                verdict = (
                    "fails"
                    if found.high < 0
                    else "holds"
                    if found.low > -MARGIN
                    else "undecided"
                )
                out.append([text, _text(found), verdict])
    if APART_AT in sizes:
        each = {name: difference(stored, name, APART_AT) for name in estimators}
        apart = [name for name, d in each.items() if d.low > 0 or d.high < 0]
        text = f"n = {APART_AT}: some estimator is not as far as {REFERENCE}"
        measured = ", ".join(f"{name} {_text(each[name])}" for name in apart) or "none"
        out.append(decided(text, measured, bool(apart)))
    if APART_AT in sizes and {NEARER, LIKE} <= set(estimators):
        ours, other = (_values(stored, "recall", e, APART_AT) for e in (NEARER, LIKE))
        text = f"n = {APART_AT}: recall@20 of {NEARER} is within {NEAR:g} of {LIKE}'s"
        ends = two_way(ours - other).interval()
        out.append(statement(text, ends, -NEAR, NEAR, "+.4f"))
    return out


def _text(found: Interval) -> str:
    mean, low, high = (100 * end for end in found)
    return interval_text(mean, low, high, "+.1f") + " %"


def faithful_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each estimator's distances, in Markdown."""
    seeds = stored.arrays["full_recall"].shape[0]
    named = "`" + frame.estimator + "`"
    percent = 100 * frame.bias.mask(frame.n.isna())
    shown = frame.assign(estimator=named, bias=percent)
    columns = [("n", "n", ".0f"), ("bias (%)", "bias", ".1f")]
    columns += [(heading, name, ".3f") for name, heading in MEASURED.items()]
    return (
        described(
            f"{stored.header['dataset']}, {seeds} seeds, n negatives per row of the "
            "batch's 512. The first row is the full softmax itself.",
            {
                "bias": "of the expected gradient of the item vectors at a trained "
                "full softmax, in % of the exact gradient (study probe)",
                "divergence": "Kullback-Leibler divergence of the users' distributions "
                "under the estimator from those under the full softmax of the other "
                "seeds, in nats",
            },
            "Intervals are 95 %, two-way over users and seeds.",
        ),
        interval_table(shown, {"estimator": ""}, columns, left=1),
    )


@styled
def faithful_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the divergence from the full softmax by n, and by the gradient's bias."""
    full, estimators = frame[frame.n.isna()].iloc[0], frame.dropna(subset=["n"])
    figure, panels = blank(3.8, ncols=2, sharey=True)
    groups = estimators.groupby("estimator", sort=False)
    for n, (estimator, rows) in enumerate(groups):
        corrected = str(estimator).startswith(REFERENCE)
        colour, marker = look(f"in-batch+{estimator}" if corrected else str(estimator))
        # smaller over larger: two pairs of estimators have the same line
        style = {"color": colour, "marker": marker, "ms": 9 - n, "label": estimator}
        panels[0].plot(rows.n, rows.divergence, **style)
        ends = rows.divergence_low, rows.divergence_high
        panels[0].fill_between(rows.n, *ends, color=colour, alpha=0.15)
        panels[1].plot(100 * rows.bias, rows.divergence, **style)
    level = {"color": "0.4", "linestyle": (0, (5, 3)), "label": "another seed of it"}
    for panel in panels:
        panel.axhline(full.divergence, **level)
    panels[0].set_xscale("log")
    panels[0].set_xticks(
        sorted(set(estimators.n)), [f"{n:.0f}" for n in sorted(set(estimators.n))]
    )
    panels[0].minorticks_off()
    panels[0].set_xlabel("negatives per row")
    panels[0].set_ylabel("divergence from the full softmax (nats)")
    panels[1].set_xlabel("bias of the gradient (%)")
    heading = "How far from the full softmax is a model trained with each estimator?"
    legend_above(figure, with_band(panels[0]), heading, 4)
    return Drawing(figure, frame)


def report_faithful(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = faithful_frame(stored)
    drawings = {"-bias": faithful_figure(frame)}
    return Report(
        {".csv": frame}, faithful_page(frame, stored), drawings, verdicts(stored)
    )
