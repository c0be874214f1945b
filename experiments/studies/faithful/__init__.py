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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

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
from experiments.study import StudyOptions, save_measured
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF, METRICS
from research.evaluate.record import evaluate
from research.files import read_arrays

__all__ = ["ESTIMATORS", "FULL", "NAME", "run_faithful"]

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
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    lists = rank(run, serve(run, vectors["users"], vectors["items"]))
    recall = METRICS["recall"].of(evaluate(run.task.fold, lists), CUTOFF)
    return Trained(logits - highest - total, lists[:, :CUTOFF], recall)


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
