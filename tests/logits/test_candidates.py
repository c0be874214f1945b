"""One candidate set a row: scores, corrections and masks of all blocks together."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits.candidates import candidate_logits, masked_share, split_blocks
from research.losses import LOSSES
from research.negatives.source import Drawn
from tests.mutants.oracles import (
    CANDIDATE,
    DIM,
    QUERY,
    UNIFORM,
    VECTORS,
    config_of,
    expected_gradient,
    losses,
)
from tests.negatives.small import (
    CLICKED,
    LAWS,
    batch_of,
    blocks_of,
    hyper_of,
    logits_of,
    pool_of,
    ready,
)

POOL = pool_of(CLICKED)
IN_BATCH = np.array(CANDIDATE)
SHARE = CLICKED / CLICKED.sum()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_at_the_truth_the_expected_gradient_is_zero_for_every_n(n):
    """Independent draws, no mask, every column corrected: by enumeration of 6^n."""
    found = expected_gradient({"popularity": n})
    assert np.abs(found).max() < 1e-6


@pytest.mark.parametrize("draws", [{"uniform": 2}, {"popularity": 2, "uniform": 1}])
def test_so_it_is_for_other_sources_and_their_union(draws):
    assert np.abs(expected_gradient(draws)).max() < 1e-6


def test_a_fixed_share_of_columns_from_each_source_is_close_to_it_but_not_it():
    """Then columns aren't exchangeable: the balance heuristic leaves a little."""
    draws = {"popularity": 2, "uniform": 1}
    found = np.abs(expected_gradient(draws, alike=False)).max()
    assert 1e-4 < found < 0.01
    assert found < np.abs(expected_gradient(draws, alike=False, logq=0.0)).max() / 4


@pytest.mark.parametrize("n", [2, 4])
def test_with_the_same_item_masked_it_is_not(n):
    found = expected_gradient({"popularity": n}, mask_same_item=True)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("n", [1, 2, 4])
def test_nor_for_the_importance_form_at_small_n(n):
    changes = {"correct_positive": False, "expected_count": True}
    assert np.abs(expected_gradient({"popularity": n}, **changes)).max() > 1e-3


def test_nor_without_a_correction_nor_with_half_of_one():
    for strength in (0.0, 0.5):
        found = expected_gradient({"popularity": 2}, logq=strength)
        assert np.abs(found).max() > 0.01


def test_a_constant_count_cancels_where_the_positive_is_corrected_too():
    found = expected_gradient({"popularity": 2}, expected_count=True)
    assert np.abs(found).max() < 1e-6


@pytest.mark.parametrize("own_out", [True, False])
def test_columns_that_pass_the_mask_stand_for_all_other_items(own_out):
    """Mean over all draws of two: sum exp(z - log N q) = sum of exp z of the others."""
    config = config_of(
        "popularity:2",
        mask_same_item=True,
        leave_own_out=own_out,
        expected_count=True,
        correct_positive=False,
        temperature=1.0,
    )
    draws = np.array(list(itertools.product(range(6), repeat=2)))

    @jax.jit
    def partition(ids):
        given = config, QUERY, VECTORS, CANDIDATE, (ids,), POOL
        return jnp.exp(logits_of(*given)[1].logsumexp())

    sums = np.array([partition(ids) for ids in draws])
    found = (SHARE[draws].prod(axis=1)[:, None] * sums).sum(axis=0)
    for b, own in enumerate(CANDIDATE):
        others = [math.exp(by_hand(b, i, 0.0, 1.0)) for i in range(6) if i != own]
        assert math.isclose(found[b], sum(others), rel_tol=1e-4)


def by_hand(row: int, item: int, log_q: float, temperature: float = 0.25) -> float:
    score = sum(float(a) * float(b) for a, b in zip(QUERY[row], VECTORS[item]))
    return score / temperature - log_q


SWITCHES = [
    (correct, own_out, count)
    for correct in (True, False)
    for own_out in (True, False)
    for count in (True, False)
]


@pytest.mark.parametrize(("correct", "own_out", "count"), SWITCHES)
def test_switches_of_the_correction_in_the_logits(correct, own_out, count):
    config = config_of(
        "in-batch",
        correct_positive=correct,
        leave_own_out=own_out,
        expected_count=count,
    )
    own, dense = logits_of(config, QUERY, VECTORS, CANDIDATE, (IN_BATCH,), POOL)
    for b, positive in enumerate(CANDIDATE):
        row = -math.log(1 - SHARE[positive]) if own_out else 0.0
        row += math.log(3) if count else 0.0
        log_q = math.log(SHARE[positive]) + row if correct else 0.0
        assert math.isclose(float(own[b]), by_hand(b, positive, log_q), abs_tol=1e-5)
        for c, item in enumerate(CANDIDATE):
            expected = by_hand(b, item, math.log(SHARE[item]) + row)
            assert math.isclose(float(dense.z[b, c]), expected, abs_tol=1e-5)


def test_a_row_shift_cancels_where_all_of_a_row_has_it():
    plain = losses(config_of("in-batch"), (IN_BATCH,))
    for name in ("leave_own_out", "expected_count"):
        shifted = losses(config_of("in-batch", **{name: True}), (IN_BATCH,))
        np.testing.assert_allclose(shifted, plain, rtol=1e-4)
        alone = {name: True, "correct_positive": False}
        assert not np.allclose(
            losses(config_of("in-batch", **alone), (IN_BATCH,)), plain
        )


@pytest.mark.parametrize("switch", ["correct_positive", "leave_own_out"])
def test_without_strength_there_is_no_correction_whatever_the_switches(switch):
    config = config_of("in-batch", "uniform:5", logq=0.0)
    other = dataclasses.replace(config, **{switch: not getattr(config, switch)})
    ids = (IN_BATCH, UNIFORM)
    np.testing.assert_array_equal(losses(config, ids), losses(other, ids))


def test_uniform_draws_are_corrected_by_a_constant():
    ids = (UNIFORM,)
    with_q = losses(config_of("uniform:5"), ids)
    np.testing.assert_allclose(
        with_q, losses(config_of("uniform:5", logq=0.0), ids), rtol=1e-5
    )


@pytest.mark.parametrize("mask", [True, False])
def test_the_exact_softmax_needs_no_mask_and_no_correction(mask):
    expected = losses(config_of("catalogue"), (np.arange(6),))
    scores = QUERY @ VECTORS.T / 0.25
    exact = -jax.nn.log_softmax(jnp.asarray(scores))[jnp.arange(4), IN_BATCH]
    np.testing.assert_allclose(expected, exact, rtol=1e-5)
    for strength in (0.0, 1.0):
        config = config_of("catalogue", mask_same_item=mask, logq=strength)
        np.testing.assert_allclose(losses(config, (np.arange(6),)), exact, rtol=1e-5)
    # n q of the catalogue is 1, so the importance form is exact here too
    config = config_of("catalogue", correct_positive=False, expected_count=True)
    np.testing.assert_allclose(losses(config, (np.arange(6),)), exact, rtol=1e-5)


def test_columns_stand_by_block_and_keep_their_source():
    config = config_of("in-batch", "uniform-per-row:2", "uniform:5")
    per_row = np.array([[0, 1], [2, 3], [4, 5], [1, 1]])
    ids = (IN_BATCH, per_row, UNIFORM)
    own, dense = logits_of(config, QUERY, VECTORS, CANDIDATE, ids, POOL)
    law = (3 * LAWS["in-batch"](CLICKED, config) + 7 / 6) / 10
    wide = np.concatenate(
        [np.tile(IN_BATCH, (4, 1)), per_row, np.tile(UNIFORM, (4, 1))], axis=1
    )
    assert dense.z.shape == dense.keep.shape == (4, 4 + 2 + 5)
    for b, c in np.ndindex(wide.shape):
        item = int(wide[b, c])
        expected = by_hand(b, item, math.log(law[item]))
        assert math.isclose(float(dense.z[b, c]), expected, abs_tol=1e-5)
        assert bool(dense.keep[b, c]) is (c != b)
    for b, item in enumerate(CANDIDATE):
        expected = by_hand(b, item, math.log(law[item]))
        assert math.isclose(float(own[b]), expected, abs_tol=1e-5)


def test_a_masked_column_has_neither_value_nor_gradient():
    """Rows 0 and 2 share a positive; the mask takes it from each other's columns."""
    config = config_of("in-batch", mask_same_item=True)
    fn = LOSSES["sampled-softmax"].fn

    def total(columns: jax.Array) -> jax.Array:
        """Of row 0, with a vector for each column; its positive's own is apart."""
        (block,) = blocks_of(config, POOL, (IN_BATCH,), VECTORS)
        value = candidate_logits(
            config,
            jnp.asarray(QUERY),
            jnp.asarray(VECTORS[IN_BATCH]),
            (block._replace(vectors=columns),),
            batch_of(CANDIDATE),
            POOL,
            None,
            hyper_of(config),
        )
        return fn(*value, {})[0]

    vectors = jnp.asarray(VECTORS[IN_BATCH])
    value, grad = jax.value_and_grad(total)(vectors)
    assert (grad[0] == 0).all()  # the diagonal
    assert (grad[2] == 0).all()  # the same item in row 2
    assert (grad[1] != 0).all()
    assert float(total(vectors.at[2].set(1e3))) == float(value)
    assert float(total(vectors.at[1].add(1.0))) != float(value)


def test_a_row_that_may_use_no_column_has_neither_loss_nor_gradient():
    config = config_of("in-batch", mask_same_item=True)
    same = [3, 3, 3, 3]

    def total(query: jax.Array) -> jax.Array:
        value = logits_of(config, query, VECTORS, same, (np.array(same),), POOL)
        return jnp.sum(LOSSES["sampled-softmax"].fn(*value, {}))

    value, grad = jax.value_and_grad(total)(jnp.asarray(QUERY))
    assert float(value) == 0
    assert (grad == 0).all()


def test_blocks_come_out_of_one_pass_of_the_tower():
    config = config_of("in-batch", "uniform-per-row:2", "uniform:5")
    sources, states = ready(config, POOL)
    per_row = jnp.array([[0, 1], [2, 3], [4, 5], [1, 1]])
    drawn = (
        Drawn(jnp.asarray(IN_BATCH, jnp.int32)),
        Drawn(per_row),
        Drawn(jnp.asarray(UNIFORM, jnp.int32)),
    )
    order = np.concatenate([IN_BATCH, per_row.ravel(), UNIFORM])
    vectors = jnp.asarray(VECTORS)[order]
    blocks = split_blocks(vectors, sources, states, drawn, 4)
    for block in blocks:
        np.testing.assert_array_equal(block.vectors, VECTORS[block.drawn.ids])
        assert block.vectors.shape == (*block.drawn.ids.shape, DIM)


def test_the_share_masked_counts_what_a_row_may_not_use():
    config = config_of("in-batch", "uniform:5", mask_same_item=True)
    ids = (IN_BATCH, UNIFORM)
    _, dense = logits_of(config, QUERY, VECTORS, CANDIDATE, ids, POOL)
    blocks = blocks_of(config, POOL, ids, VECTORS)
    lost = [
        1
        + sum(i == p for c, i in enumerate(CANDIDATE) if c != b)
        + sum(i == p for i in UNIFORM.tolist())
        for b, p in enumerate(CANDIDATE)
    ]
    expected = sum(lost) / (4 * 9)
    assert math.isclose(float(masked_share(dense, blocks)), expected, rel_tol=1e-5)
