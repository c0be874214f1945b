"""What negatives look like: how popular, how many different, how hard, how stale."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from research import rng
from research.batches import epoch_batches
from research.config import Config
from research.evaluate.record import bands
from research.negatives import make_sources
from research.negatives.source import Source
from research.train.model import Model, Params, serve_all
from research.train.run_state import traced_values
from research.train.world import World
from research.types import BANDS, Pairs

__all__ = ["Seen", "band_shares", "drift", "library_shares", "seen"]


class Seen(NamedTuple):
    """One source over one epoch: counts [i] of each item among its draws, and scores.

    score is the mean over rows of the cosine (or dot product) of a row and its
    negatives, positive_score that of its positive; above is the share of negatives that
    score above the row's positive. Draws of the row's own positive aren't counted in
    the three.
    """

    counts: Int[ndarray, " i"]
    score: float
    positive_score: float
    above: float

    @property
    def distinct(self) -> int:
        """How many different items the epoch's draws hold."""
        return int((self.counts > 0).sum())


def band_shares(
    drawn: Int[ndarray, " i"], counts: Int[ndarray, " i"]
) -> Float[ndarray, "3"]:
    """Shares of head, torso and tail (by fitted clicks) among what was drawn.

    >>> band_shares(np.array([2, 1, 1, 0, 0]), np.array([4, 2, 2, 1, 0])).tolist()
    [0.5, 0.5, 0.0]
    """
    each = np.bincount(bands(counts), weights=drawn, minlength=len(BANDS))
    return np.asarray(each / max(drawn.sum(), 1))


def library_shares(counts: Int[ndarray, " i"]) -> Float[ndarray, "3"]:
    """Shares of head, torso and tail among the items themselves."""
    return band_shares(np.ones(len(counts), np.int64), counts)


def drift(vectors: Float[ndarray, "t i d"], lag: int) -> Float[ndarray, " s"]:
    """Mean over items of |v_t - v_(t - lag)|, for each t >= lag  [wang2021, 3.2].

    How far a vector stored lag snapshots ago is from what the tower says now. Differs
    from the paper: the mean over items, not their sum.

    >>> drift(np.array([[[0.0, 0.0]], [[3.0, 4.0]]]), lag=1).tolist()
    [5.0]
    """
    if not 1 <= lag < len(vectors):
        raise ValueError(f"lag {lag} of {len(vectors)} snapshots")
    moved = np.linalg.norm(vectors[lag:] - vectors[:-lag], axis=2)
    return np.asarray(moved.mean(axis=1))


def seen(
    config: Config, model: Model, params: Params, world: World, epoch: int = 1
) -> dict[str, Seen]:
    """Draws each source of an arm through one epoch of batches, with a model as it is.

    Nothing is trained: caches are filled with the model's own vectors.

    Args:
      config: the arm; its batch, sources and seed.
      model: the towers.
      params: their parameters.
      world: the fold.
      epoch: which shuffle of the pairs.
    """
    n = world.pairs.candidate.shape[0]
    batches = jnp.asarray(epoch_batches(n, config.batch, config.seed, epoch))
    ids = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)
    items = jax.jit(lambda p: model.serve_items(p, world, ids))(params)
    out = {}
    hyper = traced_values(config)
    queries = jnp.arange(world.offsets.shape[0] - 1, dtype=jnp.int32)
    for spec, source in zip(config.negatives, make_sources(config.negatives, config)):
        memory = source.init(world.pool, hyper)
        if source.refresh is not None:
            memory = source.refresh(memory, *serve_all(model, params, world, queries))
        run = jax.jit(_through_epoch, static_argnums=(0, 1))
        key = rng.stream(rng.root(config.seed), f"seen {source.name}")
        got = run(source, model, params, items, memory, batches, world, key)
        counts, scores, kept = (np.asarray(part) for part in got)
        score, positive, above = scores.sum(axis=0)
        out[spec] = Seen(
            counts.sum(axis=0),
            float(score / max(kept.sum(), 1)),
            float(positive / batches.size),
            float(above / max(kept.sum(), 1)),
        )
    return out


def _rows_that_see(
    keep: Float[Array, "b c"], ids: Int[Array, "..."]
) -> Int[Array, "..."]:
    """How many rows see each drawn id: one each, or all that keep a shared column."""
    return (keep if ids.ndim == 2 else jnp.sum(keep, axis=0)).astype(jnp.int32)


def _through_epoch(
    source: Source,
    model: Model,
    params: Params,
    items: Float[Array, "i d"],
    memory: Any,
    batches: Int[Array, "s b"],
    world: World,
    key: Array,
) -> tuple[Int[Array, "s i"], Float[Array, "s 3"], Float[Array, " s"]]:
    def step(carry, index):  # type: ignore[no-untyped-def]
        memory, at = carry
        batch = Pairs(*(column[index] for column in world.pairs))
        drawn = source.draw(jax.random.fold_in(key, at), batch, memory, world.pool)
        users = model.serve_users(params, world, batch.query, batch.position)
        every = users @ items.T
        wide = jnp.broadcast_to(drawn.ids, (index.shape[0], drawn.ids.shape[-1]))
        own = jnp.take_along_axis(every, batch.candidate[:, None], axis=1)
        score = jnp.take_along_axis(every, wide, axis=1)
        keep = wide != batch.candidate[:, None]
        kept = jnp.ones_like(drawn.ids, bool) if drawn.kept is None else drawn.kept
        keep = (keep & jnp.broadcast_to(kept, wide.shape)).astype(every.dtype)
        sums = jnp.stack(
            [
                jnp.sum(score * keep),
                jnp.sum(own),
                jnp.sum((score > own).astype(every.dtype) * keep),
            ]
        )
        counts = jnp.zeros(items.shape[0], jnp.int32)
        counts = counts.at[drawn.ids].add(_rows_that_see(keep, drawn.ids))
        memory = source.update(memory, batch, items[batch.candidate], world.pool)
        return (memory, at + 1), (counts, sums, jnp.sum(keep))

    return jax.lax.scan(step, (memory, jnp.int32(0)), batches)[1]
