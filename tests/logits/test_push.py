"""Who pushes items away: stopped columns don't, and the batch can do it for them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.candidates import Block, candidate_logits, push
from research.negatives.laws import COUNTS, batch_of, hyper_of, pool_of
from research.negatives.source import Drawn
from tests.negatives.small import ready

DIM = 3
RNG = np.random.default_rng(5)
QUERY = jnp.asarray(RNG.normal(size=(5, DIM)), jnp.float32)
ITEMS = jnp.asarray(RNG.normal(size=(len(COUNTS), DIM)), jnp.float32)


def gradients(config: Config, columns: list[list[int]], kept: bool = True):
    """d loss / d (item vectors, queries) of row 0, whose positive is item 3.

    The first columns are the batch's, after the row's own; the positive is a constant,
    so that only the push is seen.
    """
    ids = [jnp.asarray(block, jnp.int32) for block in ([3, *columns[0]], *columns[1:])]
    return _gradients(config)(ITEMS, QUERY[: len(ids[0])], ids, jnp.array(kept))


@functools.cache
def _gradients(config: Config):
    sources, states = ready(config, pool_of())

    def loss(items, query, ids, kept):
        batch = batch_of(ids[0])
        blocks = []
        for source, state, of in zip(sources, states, ids, strict=True):
            keep = jnp.broadcast_to(kept, of.shape)
            drawn = Drawn(of, kept=keep if source.origin == "stored" else None)
            blocks.append(Block(source, state, drawn, items[of]))
        pushed = push(config, tuple(blocks), pool_of(), len(ids[0]))
        positive = jax.lax.stop_gradient(items[batch.candidate])
        own, negatives = candidate_logits(
            config, query, positive, pushed, batch, pool_of(), None, hyper_of(config)
        )
        return (jnp.logaddexp(own, negatives.logsumexp()) - own)[0]

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def config_of(*sources: str, push: str, batch: int = 3) -> Config:
    return Config(
        batch=batch,
        dim=DIM,
        negatives=("in-batch", *sources),
        logq=1.0,
        temperature=1.0,
        item_gradient=push,
    )


def test_over_all_ways_to_fall_the_batch_pushes_as_much_as_all_columns_would():
    """Six columns, two in the batch and four in a source with the batch's own q.

    Every one of the 15 ways has the scores of the others, so the mean is exact.
    """
    columns = [5, 0, 5, 4, 1, 3]
    encoded, put_back = [], []
    for pair in itertools.combinations(range(6), 2):
        split = [[columns[n] for n in pair]]
        split.append([columns[n] for n in range(6) if n not in pair])
        for push_, found in (("drawn", encoded), ("balanced", put_back)):
            found.append(gradients(config_of("popularity:4", push=push_), split)[0])
    assert len(encoded) == 15
    np.testing.assert_allclose(encoded[0], encoded[7], atol=1e-6)
    np.testing.assert_allclose(np.mean(put_back, axis=0), encoded[0], atol=1e-6)
    assert np.abs(encoded[0][0]).max() > 0.01


@pytest.mark.parametrize("push_", ["batch", "balanced"])
def test_only_the_batch_pushes_and_queries_don_t_notice(push_):
    columns = [[5, 0], [4, 1, 1, 3]]
    items, query = gradients(config_of("popularity:4", push=push_), columns)
    everywhere, same = gradients(config_of("popularity:4", push="drawn"), columns)
    assert (items[jnp.array([1, 3, 4])] == 0).all()
    assert (jnp.abs(everywhere[jnp.array([1, 3, 4])]).max(axis=1) > 1e-3).all()
    np.testing.assert_allclose(query, same, rtol=1e-6)
    weight = 3.0 if push_ == "balanced" else 1.0  # (2 + 4) / 2
    for item in (0, 5):
        np.testing.assert_allclose(items[item], weight * everywhere[item], rtol=1e-5)


def test_an_item_the_batch_seldom_holds_is_pushed_for_all_the_draws_of_it():
    """1 + n q' / (n_in q), by hand: item 1 is one click of 24, and one of six items."""
    columns = [[1, 5], [4, 4, 4, 4]]
    items, _ = gradients(config_of("uniform:4", push="balanced"), columns)
    plain, _ = gradients(config_of("uniform:4", push="drawn"), columns)
    for item, count in ((1, 1), (5, 11)):
        weight = 1 + 4 * (1 / 6) / (2 * count / 24)
        np.testing.assert_allclose(items[item], weight * plain[item], rtol=1e-5)
