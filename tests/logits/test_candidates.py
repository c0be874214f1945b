"""One candidate set a row: scores, corrections and masks of all blocks together."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits.candidates import masked_share, split_blocks
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
    blocks_of,
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
