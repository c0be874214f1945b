"""What negatives look like: how popular, how many different, how hard, how stale."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from research import rng
from research.batches import epoch_batches
from research.config import Config, structure
from research.evaluate.record import bands
from research.negatives import make_sources
from research.negatives.source import Source
from research.prepare import Prepared
from research.train.loop import compiled_epoch
from research.train.model import Model, Params, serve_all
from research.train.run_state import init_state, traced_values
from research.train.world import World
from research.types import BANDS, Pairs

CHUNK = 12  # steps between two snapshots: an epoch of 100K has 96
LAGS = (1, 4, 16)  # snapshots

Drifts = dict[int, tuple[Int[ndarray, " s"], Float[ndarray, " s"]]]


class SourceSample(NamedTuple):
    """One source over one epoch: its draws by item, and their scores.

    Draws of the row's own positive aren't counted in the last three.

    Attributes:
      counts: how often each item is drawn.
      score: mean over rows of the cosine (or dot product) of a row and its negatives.
      positive_score: that of the row's positive.
      above: the share of negatives that score above the row's positive.
    """

    counts: Int[ndarray, " i"]
    score: float
    positive_score: float
    above: float


def band_shares(
    draws: Int[ndarray, " i"], counts: Int[ndarray, " i"]
) -> Float[ndarray, "3"]:
    """Shares of head, torso and tail (by clicks) among draws [i] per item.

    >>> band_shares(np.array([2, 1, 1, 0, 0]), np.array([4, 2, 2, 1, 0])).tolist()
    [0.5, 0.5, 0.0]
    """
    each = np.bincount(bands(counts), weights=draws, minlength=len(BANDS))
    return np.asarray(each / max(draws.sum(), 1))


def drift(vectors: Float[ndarray, "t i d"], lag: int) -> Float[ndarray, " s"]:
    """Mean over items of |v_t - v_(t - lag)|, for each t >= lag  [wang2021, 3.2].

    How far a vector stored lag snapshots ago is from the tower's current one. Differs
    from the paper: the mean over items, not their sum.

    >>> drift(np.array([[[0.0, 0.0]], [[3.0, 4.0]]]), lag=1).tolist()
    [5.0]
    """
    if not 1 <= lag < len(vectors):
        raise ValueError(f"lag {lag} of {len(vectors)} snapshots")
    moved = np.linalg.norm(vectors[lag:] - vectors[:-lag], axis=2)
    return np.asarray(moved.mean(axis=1))


def sample_sources(
    config: Config, model: Model, params: Params, world: World
) -> dict[str, SourceSample]:
    """Draws each source of an arm through one epoch of batches, with a model as it is.

    Nothing is trained: caches are filled with the model's own vectors.
    """
    n = world.pairs.candidate.shape[0]
    batches = jnp.asarray(epoch_batches(n, config.batch, config.seed, 1))
    ids = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)
    items = jax.jit(lambda p: model.serve_items(p, world, ids))(params)
    samples = {}
    hyper = traced_values(config)
    queries = jnp.arange(world.offsets.shape[0] - 1, dtype=jnp.int32)
    for spec, source in zip(config.negatives, make_sources(config.negatives, config)):
        state = source.init(world.pool, hyper)
        if source.refresh is not None:
            state = source.refresh(state, *serve_all(model, params, world, queries))
        run = jax.jit(_through_epoch, static_argnums=(0, 1))
        key = rng.stream(rng.root(config.seed), f"seen {source.name}")
        sums = run(source, model, params, items, state, batches, world, key)
        counts, scores, columns = (np.asarray(part) for part in sums)
        score, positive, above = scores.sum(axis=0)
        samples[spec] = SourceSample(
            counts.sum(axis=0),
            float(score / max(columns.sum(), 1)),
            float(positive / batches.size),
            float(above / max(columns.sum(), 1)),
        )
    return samples


def _through_epoch(
    source: Source,
    model: Model,
    params: Params,
    items: Float[Array, "i d"],
    state: Any,
    batches: Int[Array, "s b"],
    world: World,
    key: Array,
) -> tuple[Int[Array, "s i"], Float[Array, "s 3"], Float[Array, " s"]]:
    def step(carry, index):  # type: ignore[no-untyped-def]
        state, at = carry
        batch = Pairs(*(column[index] for column in world.pairs))
        drawn = source.draw(jax.random.fold_in(key, at), batch, state, world.pool)
        users = model.serve_users(params, world, batch.query, batch.position)
        every = users @ items.T
        wide = jnp.broadcast_to(drawn.ids, (index.shape[0], drawn.ids.shape[-1]))
        positive = jnp.take_along_axis(every, batch.candidate[:, None], axis=1)
        score = jnp.take_along_axis(every, wide, axis=1)
        keep = wide != batch.candidate[:, None]
        if drawn.kept is not None:
            keep = keep & jnp.broadcast_to(drawn.kept, wide.shape)
        keep = keep.astype(every.dtype)
        sums = jnp.stack(
            [
                jnp.sum(score * keep),
                jnp.sum(positive),
                jnp.sum((score > positive).astype(every.dtype) * keep),
            ]
        )
        # An id drawn for one row counts once, a shared one for each row that keeps it.
        rows = keep if drawn.ids.ndim == 2 else jnp.sum(keep, axis=0)
        counts = jnp.zeros(items.shape[0], jnp.int32)
        counts = counts.at[drawn.ids].add(rows.astype(jnp.int32))
        state = source.update(state, batch, items[batch.candidate], world.pool)
        return (state, at + 1), (counts, sums, jnp.sum(keep))

    return jax.lax.scan(step, (state, jnp.int32(0)), batches)[1]


def follow(
    run: Prepared, progress: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Params], Drifts]:
    """Trains, with a snapshot of the item vectors every CHUNK steps.

    The steps are those of ``train``, but for an epoch's last few where CHUNK leaves a
    tail; an epoch of fewer steps is one chunk. Items without a click in the training
    part are left out: no cache of positives holds them.

    Returns:
      the parameters by "untrained" and "trained"; by lag in steps, the steps and how
      far item vectors moved within the lag.
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
            state, diagnostics = epoch_of(state, batches[at : at + chunk], hyper, world)
            snapshots.append(np.asarray(items_of(state.params)))
        progress(f"epoch {epoch}: loss {float(np.mean(diagnostics['loss'])):.3f}")
    vectors = np.stack(snapshots)[:, np.asarray(world.pool.counts) > 0]
    drifts = {
        chunk * lag: (chunk * np.arange(lag, len(vectors)), drift(vectors, lag))
        for lag in LAGS
        if lag < len(vectors)
    }
    return {"untrained": before, "trained": state.params}, drifts
