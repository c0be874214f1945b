"""The union of two sources: log q by enumeration of its draws."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.negatives.source import total_draws, union_log_q
from tests.negatives.small import BATCH, COUNTS, LAWS, pool_of, ready, with_own

ALPHA, MIX = 0.5, 0.3
DRAWS = {
    "in-batch": BATCH - 1,
    "in-batch-part": 2,
    "uniform": 5,
    "uniform-per-row": 4,
    "popularity": 7,
    "popularity-per-row": 3,
    "extra": 6,
    "catalogue": len(COUNTS),
}
PAIRS = list(itertools.combinations_with_replacement(sorted(LAWS), 2))
ITEMS = jnp.arange(len(COUNTS), dtype=jnp.int32)


def config_of(*names: str) -> Config:
    specs = tuple(
        n if n in ("in-batch", "catalogue") else f"{n}:{DRAWS[n]}" for n in names
    )
    return with_own(Config(batch=BATCH, negatives=specs), alpha=ALPHA, mix=MIX)


def enumerated(names: tuple[str, ...], config: Config) -> np.ndarray:
    """The law of one column, picked blindly among all that a row draws."""
    columns = [LAWS[n](COUNTS, config) for n in names for _ in range(DRAWS[n])]
    return np.mean(columns, axis=0)


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_the_log_q_of_a_pair_counts_draws(names):
    config = config_of(*names)
    pool = pool_of()
    sources, states = ready(config, pool)
    log_q = np.asarray(union_log_q(ITEMS, sources, states, pool, BATCH), np.float64)
    law = enumerated(names, config)
    clicked = COUNTS > 0
    np.testing.assert_allclose(np.exp(log_q)[clicked], law[clicked], rtol=3e-6)
    # What the batch never holds is floored there, so that log q is finite alone too.
    floor = 0.3 / COUNTS.sum()
    assert np.isfinite(log_q).all()
    assert (np.exp(log_q)[~clicked] >= law[~clicked] * (1 - 1e-6)).all()
    assert (np.exp(log_q)[~clicked] <= (law[~clicked] + floor) * (1 + 1e-6)).all()
    drawn = sum(DRAWS[n] for n in names)
    assert float(total_draws(sources, states, pool, BATCH)) == drawn


@pytest.mark.parametrize("name", sorted(LAWS))
def test_a_source_alone_and_twice_has_its_own_log_q(name):
    pool = pool_of()
    once, twice = config_of(name), config_of(name, name)
    (source,), (state,) = ready(once, pool)
    own = source.log_q(ITEMS, state, pool)
    for config in (once, twice):
        union = union_log_q(ITEMS, *ready(config, pool), pool, BATCH)
        np.testing.assert_allclose(union, own, atol=2e-6)


def test_the_batch_weighs_what_it_draws_and_no_more():
    """A mixture that counted B instead of B - 1 would be seen."""
    pool, config = pool_of(), config_of("in-batch", "uniform")
    sources, states = ready(config, pool)
    right = union_log_q(ITEMS, sources, states, pool, BATCH)
    wrong = union_log_q(ITEMS, sources, states, pool, BATCH + 1)
    assert np.abs(np.asarray(right - wrong)).max() > 0.01


def test_the_order_of_sources_does_not_matter():
    pool = pool_of()
    one = config_of("in-batch", "popularity", "uniform")
    other = dataclasses.replace(one, negatives=one.negatives[::-1])
    np.testing.assert_allclose(
        union_log_q(ITEMS, *ready(one, pool), pool, BATCH),
        union_log_q(ITEMS, *ready(other, pool), pool, BATCH),
        atol=1e-6,
    )


def test_an_unknown_q_is_refused():
    pool, config = pool_of(), config_of("in-batch")
    (source,), states = ready(config, pool)
    blind = (source._replace(log_q=None),)
    with pytest.raises(ValueError, match="in-batch: q is unknown"):
        union_log_q(ITEMS, blind, states, pool, BATCH)
