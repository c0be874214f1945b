"""How long does a model last once a cache of past vectors joins its negatives?

Cached vectors receive no gradient, so nothing pushes their items away. A model is
trained without a cache, then a cache of M vectors joins batches of B, and after every
eight steps all items are ranked. The steps until recall@20 is half of what it was are
counted. For comparison, fresh columns with a stopped gradient join the same model at
the same point: their vectors are as new as the batch's. With the missing gradient
restored, nothing should be lost.

    python -m experiments run collapse             about 30 minutes on 2 cores, 5 seeds
    python -m experiments run collapse --quick     about 1 minute

Expect on MovieLens 100K: half of recall@20 gone within two epochs at M / B of 8 and 16.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.arms import arm
from experiments.grid import SHORTER, with_swept
from experiments.inputs import prepared_run
from experiments.runs import metric_means, serve
from experiments.study import StudyOptions, save_measured
from experiments.tuned import tuned
from research.batches import epoch_batches
from research.config import Config, structure
from research.data import name_of
from research.prepare import Prepared
from research.train.loop import compiled_epoch
from research.train.model import serve_task
from research.train.run_state import init_state, traced_values
from research.train.step import TrainState

NAME = "collapse"
NONE, CACHE = "in-batch+logq", "fifo-cache+logq"
STOPPED, PUSH = "mixed-popularity+logq-stopped", "fifo-cache+logq+push"


class Size(NamedTuple):
    """The sizes of caches and the lengths of training.

    Attributes:
      sizes: of what joins the batch, M / B.
      before: epochs without it.
      steps: with it, at most.
      every: steps between two rankings.
    """

    sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
    before: int = 5
    steps: int = 960
    every: int = 8


QUICK = Size((1, 2), before=1, steps=16, every=4)
FOLLOWED_TO = 0.25  # of the first recall: what is left is followed no further


class Curve(NamedTuple):
    """Measurements before a model's first step and after every few steps.

    Attributes:
      recall: recall@20, [p], NaN where it isn't followed any further.
      cosine: the mean cosine of two items, each item of the catalogue alike, [p].
    """

    recall: Float[ndarray, " p"]
    cosine: Float[ndarray, " p"]


def run_collapse(options: StudyOptions) -> Path:
    """Trains, branches and ranks with each seed; returns the records.

    Arrays: recall and cosine [arm, seed, point] of the arms named in the header, each
    with its size in sizes [arm] (0 for none); steps [point] since the columns joined.

    Raises:
      InputError: no temperature was chosen for the arm without a cache.
    """
    size = QUICK if options.quick else Size()
    base = options.config(**SHORTER.get(options.dataset, {}))
    base = with_swept(base, tuned(name_of(options.dataset), NONE, base.split))
    arms = [(NONE, 0), *((CACHE, m) for m in size.sizes)]
    arms += [(STOPPED, m) for m in size.sizes[::2]]
    arms += [(PUSH, m) for m in (size.sizes[0], size.sizes[-1])]
    curves: list[list[Curve]] = [[] for _ in arms]

    def prepared(config: Config) -> Prepared:
        return prepared_run(config, options.data_dir)

    for seed in range(options.seeds):
        config = dataclasses.replace(base, seed=seed)
        branches = Branches(config, size, prepared)
        for (name, m), of_arm in zip(arms, curves, strict=True):
            of_arm.append(branches.curve(name, m))
            low, high = np.nanmin(of_arm[-1].recall), of_arm[-1].recall[0]
            options.progress(f"{name} {m}, seed {seed}: recall {high:.3f} to {low:.3f}")
    arrays = {
        name: np.array([[getattr(c, name) for c in each] for each in curves], "<f4")
        for name in Curve._fields
    }
    arrays["sizes"] = np.array([m for _, m in arms], "<i4")
    arrays["steps"] = np.arange(0, size.steps + 1, size.every, dtype="<i4")
    return save_measured(
        options,
        NAME,
        arrays,
        arms=[name for name, _ in arms],
        batch=base.batch,
        before=size.before,
        epoch_steps=branches.epoch_steps,
        temperature=base.temperature,
        learning_rate=base.learning_rate,
    )


class Branches:
    """The model that all arms of a seed go on from, at two of its steps.

    A cache has nothing to hand out until it is full. So those branch off so many steps
    earlier as fill the largest, and all join at the same step of the same training.

    Args:
      config: what all arms share, the seed included.
      size: how much is trained.
      prepared: makes a run ready.

    Attributes:
      epoch_steps: steps of an epoch.
    """

    def __init__(
        self, config: Config, size: Size, prepared: Callable[[Config], Prepared]
    ) -> None:
        self._config, self._size, self._prepared = config, size, prepared
        self._fill = max(size.sizes)
        run = self._run(NONE, 0)
        world, sizes = run.world
        n = len(world.pairs.candidate)
        self.epoch_steps = n // config.batch
        state = init_state(run, world, sizes)
        for epoch in range(1, size.before + 1):
            batches = epoch_batches(n, config.batch, config.seed, epoch)
            state = _moved(run, state, batches)
        needed = self._fill + size.steps
        later = range(size.before + 1, size.before + 2 + needed // self.epoch_steps)
        self._batches = np.concatenate(
            [epoch_batches(n, config.batch, config.seed, epoch) for epoch in later]
        )[:needed]
        self._early = jax.tree.map(jnp.copy, state)
        self._joined = _moved(run, state, self._batches[: self._fill])

    def curve(self, name: str, size: int) -> Curve:
        """How an arm with columns of M / B = size fares from where they join."""
        run = self._run(name, size)
        world, sizes = run.world
        filled = any(source.origin == "stored" for source in run.sources)
        start = self._early if filled else self._joined
        state = init_state(run, world, sizes)._replace(
            params=jax.tree.map(jnp.copy, start.params),
            optimiser=jax.tree.map(jnp.copy, start.optimiser),
            step=start.step + 0,
        )
        if filled:
            state = _moved(run, state, self._batches[: self._fill])
        portions = list(self._portions())
        points = np.full((1 + len(portions), len(Curve._fields)), np.nan)
        points[0] = _ranked(run, state)
        for at, batches in enumerate(portions, 1):
            state = _moved(run, state, batches)
            points[at] = _ranked(run, state)
            if points[at, 0] < FOLLOWED_TO * points[0, 0]:
                break
        return Curve(*points.T)

    def _portions(self) -> Iterator[Int[ndarray, "s b"]]:
        later = self._batches[self._fill :]
        yield from np.split(later, len(later) // self._size.every)

    def _run(self, name: str, size: int) -> Prepared:
        changes: dict[str, Any] = {}
        if size:
            draws = size * self._config.batch
            changes = {"draws": draws, "warmup": self._fill * (name != STOPPED)}
        return self._prepared(dataclasses.replace(arm(name, self._config), **changes))


def _moved(run: Prepared, state: TrainState, batches: ndarray) -> TrainState:
    """The state after these steps; the given one is donated and can't be used again."""
    epoch_of = compiled_epoch(structure(run.config))
    return epoch_of(state, batches, traced_values(run.config), run.world[0])[0]


def _ranked(run: Prepared, state: TrainState) -> tuple[float, float]:
    vectors = serve_task(run.model, state.params, run.world[0], run.task)
    users, items = (np.asarray(side) for side in vectors)
    (recall,) = metric_means(run, serve(run, users, items), ["recall"])
    n = len(items)
    # Of unit vectors: the square of their sum has n products of one with itself.
    cosine = (float((items.sum(axis=0, dtype=float) ** 2).sum()) - n) / (n * (n - 1))
    return recall, cosine
