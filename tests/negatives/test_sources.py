"""Each source draws by the law that its log q names, and a union by that of both."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from research.config import Config
from research.negatives import SOURCES, SourceEntry
from research.negatives import source as module
from research.negatives.laws import BATCH, COUNTS, batch_of, pool_of, verdict
from research.negatives.source import total_draws, union_log_q
from tests.negatives.small import LAWS, negatives_of, ready, with_own

SIZED = sorted(set(LAWS) - {"in-batch", "in-batch-part", "catalogue"})
DRAWS = 200_000
ITEMS = jnp.arange(len(COUNTS), dtype=jnp.int32)
# How many draws of each source a row sees in a union.
UNION = {
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


def config_of(*names: str, **own: float) -> Config:
    return with_own(Config(batch=BATCH, negatives=names), **own)


def q_of(config: Config, counts: np.ndarray) -> np.ndarray:
    (source,), (state,) = ready(config, pool_of(counts))
    ids = jnp.arange(len(counts), dtype=jnp.int32)
    return np.exp(np.asarray(source.log_q(ids, state, pool_of(counts)), np.float64))


def spec(name: str) -> str:
    return name if name in ("in-batch", "catalogue") else f"{name}:{UNION[name]}"


def union_of(*names: str, batch: int = BATCH) -> np.ndarray:
    """The union's log q of all items, in an order and for a size of the batch."""
    config = config_of(*map(spec, names), alpha=0.5, mix=0.3)
    pool = pool_of()
    return np.asarray(union_log_q(ITEMS, *ready(config, pool), pool, batch), float)


@pytest.mark.parametrize("name", sorted(LAWS))
@pytest.mark.parametrize(("alpha", "mix"), [(0.0, 0.25), (0.5, 1.0), (1.0, 0.0)])
def test_log_q_is_the_law(name, alpha, mix):
    config = config_of(spec(name), alpha=alpha, mix=mix)
    q, law = q_of(config, COUNTS), LAWS[name](COUNTS, config)
    drawn = law > 0
    np.testing.assert_allclose(q[drawn], law[drawn], rtol=2e-6)
    np.testing.assert_allclose(q[drawn].sum(), 1.0, rtol=2e-6)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_log_q_is_finite_for_what_was_never_clicked(name):
    config = config_of(spec(name), mix=0.5)
    for counts in (COUNTS, np.array([0, 0, 5, 1, 0, 2]), np.array([3, 0, 0, 0, 0, 0])):
        q = q_of(config, counts)
        assert (q > 0).all()
        assert np.isfinite(np.log(q)).all()
    floor = q_of(config_of("in-batch"), COUNTS)[2]
    np.testing.assert_allclose(floor, 0.3 / COUNTS.sum(), rtol=1e-6)


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_the_log_q_of_a_pair_counts_draws(names):
    """By enumeration: one column, picked blindly among all that a row draws."""
    config, pool = config_of(*map(spec, names), alpha=0.5, mix=0.3), pool_of()
    columns = [LAWS[n](COUNTS, config) for n in names for _ in range(UNION[n])]
    q, law, clicked = np.exp(union_of(*names)), np.mean(columns, axis=0), COUNTS > 0
    np.testing.assert_allclose(q[clicked], law[clicked], rtol=3e-6)
    # What the batch never holds is floored there, so that log q is finite alone too.
    floor = 0.3 / COUNTS.sum()
    assert (q[~clicked] > 0).all()
    assert (q[~clicked] >= law[~clicked] * (1 - 1e-6)).all()
    assert (q[~clicked] <= (law[~clicked] + floor) * (1 + 1e-6)).all()
    assert float(total_draws(*ready(config, pool), pool, BATCH)) == len(columns)


def test_a_union_knows_no_order_and_would_tell_a_batch_of_another_size():
    np.testing.assert_allclose(
        union_of("in-batch", "popularity", "uniform"),
        union_of("uniform", "popularity", "in-batch"),
        atol=1e-6,
    )
    pair = "in-batch", "uniform"
    assert np.abs(union_of(*pair) - union_of(*pair, batch=BATCH + 1)).max() > 0.01


def test_an_unknown_q_is_refused():
    pool = pool_of()
    (source,), states = ready(config_of("in-batch"), pool)
    blind = (source._replace(log_q=None),)
    with pytest.raises(ValueError, match="in-batch: q is unknown"):
        union_log_q(ITEMS, blind, states, pool, BATCH)


def test_every_batch_of_independent_pairs_gives_the_click_share():
    """In-batch by enumeration: all 8^3 batches of three pairs, every row's columns."""
    counts = np.array([4, 1, 0, 3])
    pairs = np.repeat(np.arange(4), counts)
    every = pairs[np.stack(np.meshgrid(*[np.arange(8)] * 3), -1).reshape(-1, 3)]
    pool = pool_of(counts)
    (source,), (state,) = ready(config_of("in-batch"), pool)

    def columns(candidate):  # type: ignore[no-untyped-def]
        batch = batch_of(np.zeros(3, np.int32))._replace(candidate=candidate)
        drawn = source.draw(jax.random.key(0), batch, state, pool)
        return drawn.ids, negatives_of(source, drawn, candidate)

    ids, keep = jax.vmap(columns)(jnp.asarray(every, jnp.int32))
    assert keep.sum() == 512 * 3 * 2  # a row has the other two
    for row in range(3):
        seen = np.asarray(ids)[np.asarray(keep)[:, row]]
        share = np.bincount(seen, minlength=4) / len(seen)
        np.testing.assert_allclose(share, counts / 8, rtol=1e-12)


def test_the_largest_uniform_number_draws_an_item_that_was_clicked(monkeypatch):
    ends = jnp.array([0.0, 1.0 - 2.0**-23], jnp.float32)
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: ends)
    draw = np.random.default_rng(0)
    for _ in range(50):
        counts = draw.integers(0, 40, 30)
        counts[:2] = counts[-3:] = 0
        counts[2] = counts[-4] = 1
        pool = pool_of(counts)
        (source,), (state,) = ready(config_of("popularity:2"), pool)
        ids = source.draw(jax.random.key(0), batch_of([0]), state, pool).ids
        assert ids.tolist() == [2, 26]


ZIPF = np.maximum(np.round(3000 / np.arange(1, 121)), 1).astype(int)
ZIPF[[7, 60, 119]] = 0


def p_value(seen: np.ndarray, law: np.ndarray) -> float:
    """Of Pearson's chi-square, over what the law can draw."""
    can = law > 0
    if seen[~can].any():
        return 0.0
    return float(stats.chisquare(seen[can], law[can] * seen.sum()).pvalue)


def drawn_of(name: str, config: Config) -> np.ndarray:
    pool = pool_of(ZIPF)
    (source,), (state,) = ready(config, pool)
    ids = source.draw(jax.random.key(3), batch_of([0]), state, pool).ids
    return np.bincount(np.asarray(ids).ravel(), minlength=len(ZIPF))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", SIZED)
def test_draws_follow_the_law_by_chi_square(name, alpha):
    config = config_of(f"{name}:{DRAWS}", alpha=alpha, mix=0.4)
    seen = drawn_of(name, config)
    assert seen.sum() == DRAWS
    assert p_value(seen, LAWS[name](ZIPF, config)) > 1e-3


@pytest.mark.parametrize("name", ["popularity", "extra"])
def test_draws_in_two_steps_follow_the_law_by_chi_square(name, monkeypatch):
    """A block of items, then the item; 120 items are 8 blocks, the last one half."""
    monkeypatch.setattr(module, "COARSE", 64)
    monkeypatch.setattr(module, "BLOCK", 16)
    config = config_of(f"{name}:{DRAWS}", alpha=0.75, mix=0.4)
    seen = drawn_of(name, config)
    assert seen.sum() == DRAWS
    assert p_value(seen, LAWS[name](ZIPF, config)) > 1e-3


def test_of_a_million_items_none_is_out_of_reach():
    """One uniform number of 2^23 values would never draw a tenth of the rare ones."""
    n, draws = 1_000_000, 1 << 20
    counts = np.ones(n, int)
    counts[0] = 9 * n  # behind it sums of q differ by less than float32 tells apart
    pool = pool_of(counts)
    (source,), (state,) = ready(config_of(f"popularity:{draws}"), pool)
    draw = jax.jit(lambda key: source.draw(key, batch_of([0]), state, pool).ids)
    ids = np.concatenate([draw(jax.random.key(seed)) for seed in range(4)])
    rare = np.bincount(ids, minlength=n)[1:]
    assert rare.sum() / len(ids) == pytest.approx(0.1, rel=0.01)
    share = (rare > 0).mean()
    assert share == pytest.approx(1 - np.exp(-rare.sum() / n), abs=0.003)


@pytest.mark.parametrize(("name", "other"), [("popularity", 0.9), ("extra", 0.9)])
def test_the_chi_square_would_tell_a_slightly_wrong_law(name, other):
    config = config_of(f"{name}:{DRAWS}", alpha=1.0, mix=0.4)
    wrong = LAWS[name](ZIPF, with_own(config, alpha=other))
    assert p_value(drawn_of(name, config), wrong) < 1e-6


@pytest.mark.parametrize("name", ["uniform-per-row", "popularity-per-row"])
def test_rows_draw_their_own_where_the_name_says_so(name):
    pool = pool_of()
    (source,), (state,) = ready(config_of(f"{name}:50"), pool)
    ids = source.draw(jax.random.key(0), batch_of([0, 1, 2]), state, pool).ids
    assert ids.shape == (3, 50)
    assert ids[0].tolist() != ids[1].tolist()


def test_a_part_of_the_batch_gives_each_row_as_many_other_columns():
    pool, batch = pool_of(), batch_of([0, 1, 3, 5])
    (source,), (state,) = ready(config_of("in-batch-part:2"), pool)

    def kept(key):  # type: ignore[no-untyped-def]
        drawn = source.draw(key, batch, state, pool)
        return negatives_of(source, drawn, batch.candidate)

    keep = np.asarray(jax.vmap(kept)(jax.random.split(jax.random.key(0), 600)))
    assert (keep.sum(axis=2) == 2).all()
    often = keep.mean(axis=0)
    assert (np.diag(often) == 0).all()
    np.testing.assert_allclose(often[~np.eye(4, dtype=bool)], 2 / 3, atol=0.08)


def test_in_batch_draws_one_fewer_than_the_batch():
    pool = pool_of()
    for size in (2, 64, 512):
        (source,), (state,) = ready(config_of("in-batch"), pool)
        assert float(source.draws(state, pool, size)) == size - 1


FREE = ("uniform", "popularity", "extra")  # those whose draws are counted


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_as_its_entry_says(name):
    found = verdict(name, SOURCES[name])
    assert not found.faults
    assert not (found.unchecked and name.removesuffix("-per-row") in FREE)


def uneven(share, log_q):  # type: ignore[no-untyped-def]
    """A source that draws by one share and states another's log q."""

    def make(draws, config):  # type: ignore[no-untyped-def]
        return module.Source(
            "uneven",
            origin="fresh",
            own="none",
            init=lambda pool, hyper: jnp.log(jnp.asarray(share)),
            draw=lambda key, batch, state, pool: module.Drawn(
                jax.random.categorical(key, state, shape=(draws,))
            ),
            draws=lambda state, pool, batch_size: jnp.array(float(draws)),
            log_q=lambda ids, state, pool: jnp.asarray(log_q)[ids],
        )

    return SourceEntry(make)


EVEN = np.full(len(COUNTS), 1 / len(COUNTS))


@pytest.mark.parametrize(
    ("share", "log_q", "told"),
    [
        (EVEN, np.log(COUNTS + 1) - np.log(30), "an item of .* is 0.16.* log_q says 0"),
        (EVEN, np.log(EVEN) + 0.5, "q of all items sum to 1.64"),
        (EVEN, np.log(EVEN) * np.nan, "log_q: .*nan"),
        (EVEN, np.where(COUNTS > 0, np.log(0.2), -np.inf), "and log_q says 0.0000"),
    ],
)
def test_a_source_that_draws_by_another_law_is_told_with_numbers(share, log_q, told):
    entry = uneven(share, log_q)
    with SOURCES.added("uneven", entry):
        (fault,) = verdict("uneven", entry).faults
    assert re.search(told, fault)


def test_a_source_by_another_name_or_that_cannot_be_made_is_told():
    entry = uneven(EVEN, np.log(EVEN))
    with SOURCES.added("another", entry):
        (fault,) = verdict("another", entry).faults
    assert "calls itself 'uneven'" in fault
    entry = SourceEntry(lambda draws, config: draws.nothing)
    with SOURCES.added("another", entry):
        (fault,) = verdict("another", entry).faults
    assert "AttributeError" in fault
