"""Unions with caches, and the probability to be in a set: by enumeration of draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.negatives.laws import COUNTS, batch_of, pool_of
from research.negatives.source import union_log_inclusion, union_log_q
from research.types import Pairs
from tests.negatives.small import CLICKED, ready

ITEMS = jnp.arange(len(COUNTS), dtype=jnp.int32)
SHARE = CLICKED / CLICKED.sum()


def after(config: Config, batches: np.ndarray):
    """Sources and their states after these batches, [s, b] or stacked [n, s, b]."""
    pool = pool_of(CLICKED)
    sources, start = ready(config, pool)

    def run(rows):
        def step(states, row):
            zeros = jnp.zeros(row.shape, jnp.int32)
            batch = Pairs(zeros, zeros, row, jnp.ones(row.shape))
            vectors = jnp.zeros((row.shape[0], config.dim))
            return tuple(
                s.update(m, batch, vectors, pool)
                for s, m in zip(sources, states, strict=True)
            ), None

        return jax.lax.scan(step, start, rows)[0]

    rows = jnp.asarray(batches, jnp.int32)
    return sources, (jax.vmap(run)(rows) if rows.ndim == 3 else run(rows)), pool


def sequences(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Every sequence of pairs drawn independently, and its probability."""
    every = np.array(list(itertools.product(range(len(COUNTS)), repeat=length)))
    return every, np.prod(SHARE[every], axis=1)


def test_a_fifo_after_every_sequence_of_batches_holds_the_click_share():
    """Six items, two batches of two: all 6^4 fillings, by the real update."""
    every, chance = sequences(4)
    config = Config(batch=2, dim=1, negatives=("fifo-cache:4",))
    (source,), (ring,), pool = after(config, every.reshape(-1, 2, 2))
    ids = jax.vmap(
        lambda one: source.draw(jax.random.key(0), batch_of([0, 0]), one, pool).ids
    )(ring)
    held = np.asarray(jax.nn.one_hot(ids, len(COUNTS))).mean(axis=1)
    law = chance @ held
    np.testing.assert_allclose(law, SHARE, atol=1e-6)
    one = jax.tree.map(lambda leaf: leaf[0], ring)
    np.testing.assert_allclose(np.exp(source.log_q(ITEMS, one, pool)), law, atol=1e-6)
    assert np.abs(law - 1 / len(COUNTS)).max() > 0.1  # 1 / size is another law


def test_the_union_with_a_fifo_counts_its_slots():
    """In-batch, uniform and FIFO: expected share of an id among all columns drawn."""
    config = Config(batch=2, dim=1, negatives=("in-batch", "uniform:3", "fifo-cache:4"))
    sources, states, pool = after(config, np.array([[0, 1], [2, 3]]))
    law = np.exp(union_log_q(ITEMS, sources, states, pool, 2))
    columns = [SHARE] * 1 + [np.full(6, 1 / 6)] * 3 + [SHARE] * 4
    np.testing.assert_allclose(law, np.mean(columns, axis=0), rtol=1e-5)


def test_the_union_with_a_vector_cache_counts_draws_and_not_its_size():
    """Given what it holds: 1 in-batch draw, 2 of the 4 it holds."""
    config = Config(batch=2, dim=1, negatives=("in-batch", "vector-cache:2"))
    sources, states, pool = after(config, np.array([[0, 1], [3, 5], [0, 0]]))
    law = np.exp(union_log_q(ITEMS, sources, states, pool, 2))
    held = np.isin(np.arange(6), [0, 1, 3, 5]) / 4
    np.testing.assert_allclose(law, (SHARE + 2 * held) / 3, rtol=1e-5)
    by_size = (SHARE + 4 * held) / 5
    assert np.abs(law - by_size).max() > 0.01


def test_by_its_size_a_fifo_is_corrected_as_if_each_slot_were_another_item():
    """The columns of a FIFO; q of every id is 1 / size, which is not their law."""
    batches = np.array([[0, 5], [5, 5]])
    config = Config(batch=2, dim=1, negatives=("in-batch", "fifo-cache-by-size:4"))
    sources, states, pool = after(config, batches)
    law = np.exp(union_log_q(ITEMS, sources, states, pool, 2))
    np.testing.assert_allclose(law, (SHARE + 4 * 1 / 4) / 5, rtol=1e-5)
    right = Config(batch=2, dim=1, negatives=("in-batch", "fifo-cache:4"))
    others, their_states, _ = after(right, batches)
    drawn = [
        one[1].draw(jax.random.key(0), batch_of([0, 0]), state[1], pool)
        for one, state in ((sources, states), (others, their_states))
    ]
    jax.tree.map(np.testing.assert_array_equal, *drawn)
    popular, rare = np.argmax(SHARE), np.argmin(SHARE)
    true = np.exp(union_log_q(ITEMS, others, their_states, pool, 2))
    assert law[popular] / law[rare] < 0.5 * true[popular] / true[rare]


def test_what_no_source_can_draw_has_the_floor():
    config = Config(batch=2, dim=1, negatives=("vector-cache:2",))
    sources, states, pool = after(config, np.array([[0, 1]]))
    law = np.exp(union_log_q(ITEMS, sources, states, pool, 2))
    floor = 0.3 / CLICKED.sum()
    np.testing.assert_allclose(law, [0.5, 0.5] + [floor] * 4, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_probability_to_be_in_a_set_by_every_outcome(alpha):
    """In-batch with two other rows, a popularity^alpha draw and two uniform ones."""
    config = Config(
        batch=3,
        negatives=("in-batch", f"popularity:1,alpha={alpha}", "uniform:2"),
    )
    pool = pool_of(CLICKED)
    sources, states = ready(config, pool)
    power = CLICKED**alpha / (CLICKED**alpha).sum()
    laws = [SHARE, SHARE, power, np.full(6, 1 / 6), np.full(6, 1 / 6)]
    inside = np.zeros(6)
    for outcome in itertools.product(range(6), repeat=5):
        chance = np.prod([law[j] for law, j in zip(laws, outcome, strict=True)])
        inside[list(set(outcome))] += chance
    found = np.exp(union_log_inclusion(ITEMS, sources, states, pool, 3))
    np.testing.assert_allclose(found, inside, rtol=1e-5)


def test_one_source_is_in_with_the_published_probability():
    config = Config(batch=4, negatives=("in-batch",))
    pool = pool_of(CLICKED)
    sources, states = ready(config, pool)
    found = np.exp(union_log_inclusion(ITEMS, sources, states, pool, 4))
    np.testing.assert_allclose(found, 1 - (1 - SHARE) ** 3, rtol=1e-5)


def test_a_log_q_that_is_no_number_is_not_hidden():
    sources, states, pool = after(Config(negatives=("uniform:4",)), np.zeros((1, 2)))
    wrong = (sources[0]._replace(log_q=lambda ids, *_: jnp.full(ids.shape, jnp.nan)),)
    assert jnp.isnan(union_log_q(ITEMS, wrong, states, pool, 2)).all()
