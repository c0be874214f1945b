"""Training as it is, with the item vectors noted on the way."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.studies.probe.negatives import drift
from research.batches import epoch_batches
from research.config import structure
from research.prepare import Prepared
from research.train.loop import compiled_epoch
from research.train.model import Params
from research.train.run_state import init_state, traced_values

__all__ = ["Drifts", "follow"]

CHUNK = 12  # steps between two snapshots: an epoch of 100K has 96
LAGS = (1, 4, 16)  # snapshots

Drifts = dict[int, tuple[Int[ndarray, " s"], Float[ndarray, " s"]]]


def follow(
    run: Prepared,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Params], Drifts]:
    """The parameters before and after training, and how far item vectors moved.

    The steps are those of ``train``, but for an epoch's last few where CHUNK leaves a
    tail; an epoch of fewer steps is one chunk. Items without a fitted click are left
    out: no cache of positives holds them.

    Returns:
      parameters by "untrained" and "trained"; by lag in steps, the steps and the drift.
    """
    config, fold, model, (world, sizes) = run.config, run.fold, run.model, run.world
    state = init_state(run, world, sizes)
    before = jax.tree.map(jnp.copy, state.params)  # the epoch takes its state over
    epoch_of, hyper = compiled_epoch(structure(config)), traced_values(config)
    every = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)
    items_of = jax.jit(lambda params: model.serve_items(params, world, every))
    snapshots = [np.asarray(items_of(state.params))]
    chunk = min(CHUNK, len(fold.fitted.item) // config.batch)
    for epoch in range(1, config.epochs + 1):
        batches = epoch_batches(len(fold.fitted.item), config.batch, config.seed, epoch)
        for at in range(0, len(batches) - chunk + 1, chunk):
            state, seen = epoch_of(state, batches[at : at + chunk], hyper, world)
            snapshots.append(np.asarray(items_of(state.params)))
        progress(f"epoch {epoch}: loss {float(np.mean(seen['loss'])):.3f}")
    vectors = np.stack(snapshots)[:, np.asarray(world.pool.counts) > 0]
    drifts = {
        chunk * lag: (chunk * np.arange(lag, len(vectors)), drift(vectors, lag))
        for lag in LAGS
        if lag < len(vectors)
    }
    return {"untrained": before, "trained": state.params}, drifts
