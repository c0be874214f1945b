"""Negatives outside the user's items: the law, its log q in the logits, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from research.config import Config
from research.logits.candidates import Block, candidate_logits
from research.negatives.laws import COUNTS, batch_of, hyper_of, pool_of
from research.negatives.outside import nth_outside
from research.negatives.source import Drawn, Pool, UserItems
from research.prepare import prepare
from tests.negatives.small import ready
from tests.world import made_fold

ITEMS = len(COUNTS)
LISTS = [[0, 1, 2], [5], [], [0, 2, 3, 4, 5]]  # what each of four users has
SPEC = "uniform-outside:{}"


def owning_pool() -> Pool:
    ends = np.cumsum([0, *map(len, LISTS)])
    item = np.concatenate([np.array(items, np.int32) for items in LISTS])
    owned = UserItems(jnp.asarray(item), jnp.asarray(ends, jnp.int32))
    return pool_of()._replace(owned=owned)


def law_of(user: int) -> np.ndarray:
    """The probability of each item in one draw."""
    outside = np.ones(ITEMS)
    outside[LISTS[user]] = 0.0
    return outside / outside.sum()


def test_every_rank_is_an_item_outside_and_each_one_once():
    draw = np.random.default_rng(0)
    for items in (1, 2, 40):
        lists = [
            np.sort(draw.choice(items, draw.integers(0, items), replace=False))
            for _ in range(20)
        ]
        sizes = np.array([len(own) for own in lists], np.int32)
        first = jnp.asarray(np.cumsum([0, *sizes])[:-1], jnp.int32)
        # Something after the last list, so that no gather leaves the array.
        flat = jnp.asarray(np.concatenate([*lists, [0]]), jnp.int32)
        ranks = np.minimum(np.arange(items)[None], items - sizes[:, None] - 1)
        found = nth_outside(
            jnp.asarray(ranks, jnp.int32), first, jnp.asarray(sizes), flat
        )
        for own, row in zip(lists, np.asarray(found), strict=True):
            outside = sorted(set(range(items)) - set(own.tolist()))
            assert row[: len(outside)].tolist() == outside


def test_draws_of_each_row_follow_the_law_of_its_user_by_chi_square():
    pool, draws = owning_pool(), 60_000
    (source,), (state,) = ready(Config(negatives=(SPEC.format(draws),)), pool)
    batch = batch_of([0, 5, 1, 0])
    ids = np.asarray(source.draw(jax.random.key(1), batch, state, pool).ids)
    assert ids.shape == (4, draws)
    for user, row in enumerate(ids):
        seen, law = np.bincount(row, minlength=ITEMS), law_of(user)
        assert not seen[law == 0].any()
        can = law > 0
        if can.sum() > 1:
            p = stats.chisquare(seen[can], law[can] * draws).pvalue
            assert p > 1e-3
        assert not np.array_equal(row[:50], row[50:100]) or can.sum() == 1


def test_the_log_q_of_a_row_is_the_law_of_its_user():
    pool = owning_pool()
    (source,), (state,) = ready(Config(negatives=(SPEC.format(3),)), pool)
    ids = jnp.arange(ITEMS, dtype=jnp.int32)
    row = source.row_log_q(batch_of([0, 5, 1, 0]), state, pool)
    q = np.exp(np.asarray(source.log_q(ids, state, pool)) + np.asarray(row)[:, None])
    assert np.isfinite(np.log(q)).all()
    for user in range(4):
        law = law_of(user)
        np.testing.assert_allclose(q[user][law > 0], law[law > 0], rtol=2e-6)
        np.testing.assert_allclose(q[user][law > 0].sum(), 1.0, rtol=2e-6)
    assert float(source.draws(state, pool, 4)) == 3


def rows_of(config: Config, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of positives and of columns [b, k]; the scores of item i are SCORES[i]."""
    pool, batch = owning_pool(), batch_of([0, 5, 1, 0])
    (source,), (state,) = ready(config, pool)
    vectors, one = jnp.asarray(SCORES)[:, None], jnp.ones((4, 1))
    block = Block(source, state, Drawn(jnp.asarray(ids, jnp.int32)), vectors[ids])
    positive, negatives = candidate_logits(
        config,
        one,
        vectors[batch.candidate],
        (block,),
        batch,
        pool,
        None,
        hyper_of(config),
    )
    return np.asarray(positive), np.asarray(negatives.z)


SCORES = np.array([0.3, -0.7, 1.1, 0.2, -1.5, 0.6], np.float32)


def test_corrected_draws_estimate_the_sum_over_what_the_user_does_not_have():
    """By enumeration: the mean of exp(z), over the draws, of one draw a row."""
    config = Config(
        negatives=(SPEC.format(1),),
        logq=1.0,
        temperature=0.5,
        expected_count=True,
        correct_positive=False,
    )
    sums = np.zeros(4)
    for item in range(ITEMS):
        positive, z = rows_of(config, np.full((4, 1), item))
        sums += [law_of(user)[item] * np.exp(z[user, 0]) for user in range(4)]
    np.testing.assert_allclose(positive, SCORES[[0, 5, 1, 0]] / 0.5, rtol=1e-6)
    for user in range(4):
        outside = law_of(user) > 0
        expected = np.exp(SCORES[outside] / 0.5).sum()
        np.testing.assert_allclose(sums[user], expected, rtol=1e-5)


def test_a_corrected_positive_moves_with_its_row():
    config = Config(negatives=(SPEC.format(2),), temperature=0.5)
    ids = np.array([[3, 4]] * 4)
    own, z = rows_of(config, ids)
    corrected = rows_of(dataclasses.replace(config, logq=1.0), ids)
    log_q = np.log([law_of(user).max() for user in range(4)])
    np.testing.assert_allclose(corrected[0], own - log_q, rtol=1e-5)
    np.testing.assert_allclose(corrected[1], z - log_q[:, None], rtol=1e-5)


def test_a_run_draws_outside_the_training_part_and_inside_the_held_out_one():
    fold = made_fold(fit_on="train")
    run = prepare(Config(batch=64, negatives=(SPEC.format(200),)), fold)
    (source,), world = run.sources, run.world[0]
    batch = jax.tree.map(lambda column: column[::10], world.pairs)
    ids = source.draw(jax.random.key(0), batch, (), world.pool).ids
    held = 0
    for user, row in zip(np.asarray(batch.query), np.asarray(ids), strict=True):
        own = fold.fitted.item[fold.fitted.user == user]
        assert not set(row.tolist()) & set(own.tolist())
        held += len(set(row.tolist()) & set(fold.held_item[fold.held_user == user]))
    assert held > 0
