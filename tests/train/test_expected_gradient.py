"""Steps whose expected gradient of the items is the same, whoever draws or pushes.

Gradients are those of whole training steps, by stochastic gradient descent from one
point. Two means over many steps are compared in units of their standard error.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm
from research.config import Config
from research.features import ITEM
from tests.train.begun import begun

STEPS, BATCH, DRAWS = 4000, 16, 32
FAR = 5.0  # standard errors; the largest of 520 normal numbers is about 3
FACTORS = dataclasses.replace(
    arm("mf-dot", Config()),
    batch=BATCH,
    dim=4,
    temperature=1.0,
    optimiser="sgd",
    learning_rate=1.0,
    weight_decay=0.0,
    dropout=0.0,
)


@functools.cache
def gradients(
    name: str,
    draws: int,
    one_batch: bool = False,
    before: int = 0,
    negatives: tuple[str, ...] = (),
):
    """The gradients of the items' vectors in STEPS steps of an arm, [step, item, dim].

    Rows are drawn from the pairs with replacement, as a popular draw is: anew in each
    step, or once for all. Steps ``before`` fill a cache with vectors of this point.
    """
    config = dataclasses.replace(arm(name, FACTORS), draws=draws)
    config = dataclasses.replace(config, negatives=negatives or config.negatives)
    run = begun(config)
    _, world, start, hyper = run
    random = np.random.default_rng(3)
    tables = {
        table: jnp.asarray(random.normal(scale=0.7, size=values.shape), jnp.float32)
        for table, values in start.params["tables"].items()
    }
    start = start._replace(params={**start.params, "tables": tables})
    step = run.step()
    pairs = world.pairs.candidate.shape[0]

    def gradient(n):
        key, state = jax.random.fold_in(jax.random.key(7), 0 if one_batch else n), start
        rows = jax.random.randint(key, (before + 1, BATCH), 0, pairs)
        for at in range(before + 1):
            state = start._replace(
                source_states=state.source_states, step=n * (before + 1) + at
            )
            state, _ = step(state, rows[at], hyper, world)
        return tables[ITEM] - state.params["tables"][ITEM]

    found = jax.jit(lambda n: jax.lax.map(gradient, n, batch_size=200))
    return np.asarray(found(jnp.arange(STEPS)), np.float64)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two means over steps, in its standard errors."""
    variance = one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(
        other
    )
    error = np.sqrt(np.where(variance > 0, variance, np.inf))  # inf: it never moves
    return float(np.max(np.abs(one.mean(axis=0) - other.mean(axis=0)) / error))


def same_mean(one: np.ndarray, other: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether two gradients have one mean: in each number, and towards a wrong one.

    The way to that is from the first half of the steps; the second half is judged.
    """
    (_, one), (first, other), (aside, _) = (
        np.split(g.reshape(STEPS, -1), 2) for g in (one, other, wrong)
    )
    way = aside.mean(axis=0) - first.mean(axis=0)
    return max(apart(one, other), apart(one @ way, other @ way)) < FAR


@pytest.mark.parametrize(
    ("law", "another"),
    [("popularity", "uniform"), ("uniform", "popularity")],
)
def test_draws_of_each_rows_own_expect_the_gradient_of_as_many_shared_ones(
    law, another
):
    per_row = (f"{law}-per-row:64",)
    own = gradients(f"{law}-softmax", 8, one_batch=True, negatives=per_row)
    shared, wrong = (
        gradients(f"{name}-softmax", 8, one_batch=True) for name in (law, another)
    )
    assert same_mean(own, shared, wrong)
    assert not same_mean(wrong, shared, wrong)


@pytest.mark.parametrize(
    ("pushed", "stopped", "before"),
    [
        ("mixed-popularity+logq+push", "mixed-popularity+logq-stopped", 0),
        ("fifo-cache+logq+push", "fifo-cache+logq", DRAWS // BATCH),
    ],
)
def test_a_balanced_push_expects_the_gradient_of_encoding_every_column(
    pushed, stopped, before
):
    encoded = gradients("mixed-popularity+logq", DRAWS)
    balanced, without = (
        gradients(arm_of, DRAWS, before=before) for arm_of in (pushed, stopped)
    )
    assert same_mean(balanced, encoded, without)
    assert not same_mean(without, encoded, without)
