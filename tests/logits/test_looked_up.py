"""Scores of a row's own columns looked up among the catalogue's: the same numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.looked_up import looked_up, scores_of
from research.logits.reducers import LIMITS, Limits, choose_plan
from tests.train.begun import begun

ROW_BY_ROW = Limits(looked_up=0)
OWN = Config(
    batch=64,
    encoder="none",
    dim=8,
    user_hidden=(8,),
    item_hidden=(8,),
    dropout=0.0,
    negatives=("uniform-outside:24", "in-batch"),
    mask_user_positives=True,
    mask_same_item=True,
)


@pytest.mark.parametrize(
    ("rows", "own", "items", "looked_up"),
    [
        (64, 10, 160, True),
        (64, 10, 161, False),  # more than 16 items a column
        (16, 10, 160, False),  # a row's own vectors are no more than the catalogue
        (17, 10, 160, True),
        (64, 0, 160, False),  # columns that the rows share
    ],
)
def test_the_catalogue_is_encoded_where_it_is_less(rows, own, items, looked_up):
    plan = choose_plan(rows, 10, (0,), (own,), items, whole=False, one_pass=False)
    assert plan.looked_up == (looked_up,)


def test_a_step_is_that_of_vectors_of_each_row():
    """Parameters and diagnostics; beside another source, under a mask and log q."""
    start = begun(OWN)
    _, world, state, hyper = start
    index = jnp.arange(0, 640, 10, dtype=jnp.int32)
    found, encoded = [], []
    for limits in (LIMITS, ROW_BY_ROW):
        step = start.step(limits)
        text = str(jax.make_jaxpr(step)(state, index, hyper, world))
        encoded.append("f32[64,24,8]" in text)
        found.append(jax.jit(step)(state, index, hyper, world))
    assert encoded == [False, True]
    (after, told), (after_rows, told_rows) = found
    np.testing.assert_allclose(told["loss"], told_rows["loss"], rtol=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), after.params, state.params)
    assert max(jax.tree.leaves(moved)) > 1e-4
    # Adam's first moments are the gradients, times a constant.
    for one, other in zip(
        jax.tree.leaves(after.optimiser),
        jax.tree.leaves(after_rows.optimiser),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("row_block", [1, 3 * 70, 1 << 21])  # 8, 8 and all rows
def test_blocks_of_rows_give_the_same_scores_and_gradients(row_block):
    """Over repeated columns, and rows that fill no block."""
    draws = np.random.default_rng(0)
    query, vectors = (
        jnp.array(draws.normal(size=(n, 5)), jnp.float32) for n in (21, 70)
    )
    ids = jnp.array(draws.integers(0, 70, (21, 40)), jnp.int32)
    assert max(np.bincount(row).max() for row in np.asarray(ids)) > 1
    weight = jnp.array(draws.normal(size=ids.shape), jnp.float32)

    def total(scores, *vectors_of):
        return jnp.sum(weight * jnp.sin(scores(*vectors_of, ids)))

    in_blocks = partial(scores_of, row_block=row_block)
    found, wanted = (
        jax.value_and_grad(total, argnums=(1, 2))(scores, query, vectors)
        for scores in (in_blocks, looked_up)
    )
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
