"""Row-sparse optimisers: what is touched moves as in the dense one, no other row."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from research.config import Config, compile_key
from research.prepare import prepare
from research.train.loop import compiled_epoch, train
from research.train.optimiser import (
    Touched,
    decayed_rate,
    init_optimiser,
    move,
)
from research.train.optimisers import OPTIMISERS, Optimiser
from research.train.run_state import init_state, traced_values
from tests.world import made_fold

HYPER = {
    "learning_rate": jnp.float32(0.01),
    "weight_decay": jnp.float32(0.1),
    "table_rate": jnp.float32(2.0),
}
SPARSE = ("lazy-adam", "rowwise-adagrad", "sgd")
SMALL = Config(
    batch=64, epochs=2, history=5, dim=8, user_hidden=(8,), item_hidden=(8,), logq=1.0
)


def params_of(rows: int) -> dict:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(rows, 4)).astype(np.float32)
    return {"tables": {"item": jnp.asarray(table)}, "user": {"w": jnp.ones((3, 2))}}


def steps_of(name: str, rows: int, lookups: list[np.ndarray]) -> dict:
    """Parameters after a step for each set of lookups, gradients made from them."""
    optimiser, params = OPTIMISERS[name], params_of(rows)
    state, rng = init_optimiser(optimiser, params), np.random.default_rng(1)
    for ids in lookups:
        grads = jnp.asarray(rng.normal(size=(len(ids), 4)), jnp.float32)
        touched = [Touched("item", jnp.asarray(ids, jnp.int32), grads)]
        nets = {"user": {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}}
        params, state = move(optimiser, params, nets, touched, state, HYPER)
    return params


@pytest.fixture(params=[0, 100], ids=["row by row", "whole"])
def moved(request):
    """Names of optimisers that move tables so, whatever their size, by plain name."""
    with contextlib.ExitStack() as stack:
        for name in SPARSE:
            entry = dataclasses.replace(OPTIMISERS[name], whole=request.param)
            stack.enter_context(OPTIMISERS.added(f"{name} moved", entry))
        yield {name: f"{name} moved" for name in SPARSE}


def test_lazy_adam_is_adamw_where_every_row_is_touched(moved):
    rng = np.random.default_rng(2)
    # Every row once, and 3,000 more: doubles, in more than one chunk of rows.
    lookups = [
        np.concatenate([rng.permutation(1_500), rng.integers(0, 1_500, 3_000)])
        for _ in range(5)
    ]
    lazy, dense = (steps_of(n, 1_500, lookups) for n in (moved["lazy-adam"], "adamw"))
    for one, other in zip(jax.tree.leaves(lazy), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_adam_l2_is_adam_on_the_gradient_with_the_decayed_weights():
    """By loops: every row is decayed and moved by its momentum, looked up or not."""
    rng = np.random.default_rng(3)
    lookups = [rng.integers(0, 9, 6) for _ in range(4)]
    found = steps_of("adam-l2", 9, lookups)["tables"]["item"]
    table = np.asarray(params_of(9)["tables"]["item"], np.float64)
    first, second = np.zeros_like(table), np.zeros_like(table)
    rng = np.random.default_rng(1)
    for step, ids in enumerate(lookups, 1):
        drawn, grads = rng.normal(size=(6, 4)), 0.1 * table
        rng.normal(size=(3, 2))  # the nets' own
        np.add.at(grads, ids, drawn)
        first = 0.9 * first + 0.1 * grads
        second = 0.999 * second + 0.001 * grads**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        table = table - 0.01 * 2.0 * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    np.testing.assert_allclose(found, table, rtol=1e-5, atol=1e-6)
    decoupled = steps_of("adamw", 9, lookups)["tables"]["item"]
    assert np.abs(found - decoupled).max() > 1e-3


def test_rowwise_adagrad_is_its_definition(moved):
    rng = np.random.default_rng(3)
    lookups = [rng.integers(0, 9, 6) for _ in range(4)]
    found = steps_of(moved["rowwise-adagrad"], 9, lookups)["tables"]["item"]
    table, squares = np.asarray(params_of(9)["tables"]["item"], np.float64), np.zeros(9)
    rng = np.random.default_rng(1)
    for ids in lookups:
        grads = rng.normal(size=(6, 4))
        rng.normal(size=(3, 2))  # the nets' own
        for row in set(ids):
            grad = grads[ids == row].sum(axis=0)
            squares[row] += np.mean(grad**2)
            step = grad / (np.sqrt(squares[row]) + 1e-8) + 0.1 * table[row]
            table[row] -= 0.01 * 2.0 * step
    np.testing.assert_allclose(found, table, rtol=1e-4, atol=1e-6)


def test_gradient_descent_moves_and_decays_what_is_looked_up(moved):
    rng = np.random.default_rng(3)
    lookups = [rng.integers(0, 9, 6) for _ in range(4)]
    found = steps_of(moved["sgd"], 9, lookups)
    table, net = np.asarray(params_of(9)["tables"]["item"], np.float64), np.ones((3, 2))
    rng = np.random.default_rng(1)
    for ids in lookups:
        grads = rng.normal(size=(6, 4))
        net -= 0.01 * (rng.normal(size=(3, 2)) + 0.1 * net)
        for row in set(ids):
            grad = grads[ids == row].sum(axis=0)
            table[row] -= 0.01 * 2.0 * (grad + 0.1 * table[row])
    np.testing.assert_allclose(found["tables"]["item"], table, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["user"]["w"], net, rtol=1e-5)


def rows_with_memory(name: str, state, table: str) -> list[int] | None:
    """Rows of a table of which the optimiser's state is no longer as at the start.

    None for plain gradient descent, which keeps nothing.
    """
    memories = [m for m in jax.tree.leaves(state.tables[table].chain) if m.ndim]
    assert len(memories) == (name != "sgd")
    rows = [np.flatnonzero(np.asarray(m).any(axis=1)).tolist() for m in memories]
    return rows[0] if rows else None


def epoch_of(name: str, steps: int, **changes):
    """(state before, state after so many steps, the pairs of those steps, world)."""
    fold = made_fold()
    config = dataclasses.replace(
        SMALL, optimiser=name, user_features=("id",), **changes
    )
    run = prepare(config, fold)
    config, (world, sizes) = run.config, run.world

    def start():
        return init_state(run, world, sizes)

    index = jnp.arange(steps * 64, dtype=jnp.int32).reshape(steps, 64)
    after, _ = compiled_epoch(compile_key(config))(
        start(), index, traced_values(config), world
    )
    return start(), after, index, world


@pytest.mark.parametrize("name", SPARSE)
def test_a_step_leaves_rows_alone_that_it_did_not_use(name, moved):
    before, after, index, world = epoch_of(moved[name], 1)
    used = {
        "user": set(np.asarray(world.pairs.query[index[0]]).tolist()),
        "item": set(np.asarray(world.pairs.candidate[index[0]]).tolist()),
    }
    for table, rows in used.items():
        old, new = (np.asarray(s.params["tables"][table]) for s in (before, after))
        assert set(np.flatnonzero((old != new).any(axis=1)).tolist()) == rows
        assert len(rows) < len(old)
        assert rows_with_memory(name, after.optimiser, table) in (sorted(rows), None)


@pytest.mark.parametrize("name", SPARSE)
def test_a_row_whose_gradient_is_zero_is_not_touched(name, moved):
    optimiser, params = OPTIMISERS[moved[name]], params_of(9)
    state = init_optimiser(optimiser, params)
    # Row 3 cancels out, row 5 is looked up and not used, row 7 moves.
    ids = jnp.asarray([3, 7, 3, 5], jnp.int32)
    grads = jnp.asarray([[1.0] * 4, [2.0] * 4, [-1.0] * 4, [0.0] * 4])
    nets = {"user": {"w": jnp.zeros((3, 2))}}
    touched = [Touched("item", ids, grads)]
    after, state = move(optimiser, params, nets, touched, state, HYPER)
    old, new = (np.asarray(p["tables"]["item"]) for p in (params, after))
    assert np.flatnonzero((old != new).any(axis=1)).tolist() == [7]
    assert rows_with_memory(name, state, "item") in ([7], None)


@pytest.mark.parametrize(("end", "shares"), [(0.0, (1, 0.5, 0)), (0.2, (1, 0.6, 0.2))])
def test_the_learning_rate_falls_along_a_cosine(end, shares):
    two, ats = jnp.float32(2.0), jnp.float32([0.0, 0.5, 1.0])
    rates = [float(decayed_rate(two, end, at)) for at in ats]
    np.testing.assert_allclose(rates, [2.0 * share for share in shares], atol=1e-6)


def test_at_the_end_of_a_falling_learning_rate_nothing_moves():
    """Plain descent without decay: the last step of the only epoch has the rate 0."""
    entry, last = Optimiser("SGD", optax.identity, optax.identity), {}
    change = {"weight_decay": 0.0, "epochs": 1, "dropout": 0.0}
    with OPTIMISERS.added("plain descent", entry):
        for end in (1.0, 0.0):
            of = functools.partial(epoch_of, "plain descent", rate_end=end, **change)
            steps = len(of(1)[-1].pairs.candidate) // 64
            states = [of(steps - back)[1] for back in (1, 0)]
            assert [int(state.step) for state in states] == [steps - 1, steps]
            last[end] = [np.asarray(ravel_pytree(s.params)[0]) for s in states]
    assert np.any(last[1.0][0] != last[1.0][1])
    np.testing.assert_array_equal(*last[0.0])
    assert np.any(last[0.0][1] != last[1.0][1])


@pytest.mark.parametrize("touched_only", [False, True])
def test_an_optimiser_from_outside_is_an_entry_of_optax_transformations(touched_only):
    """Plain gradient descent: by hand, and in a run of the training loop."""
    entry = Optimiser("SGD", optax.identity, optax.identity, touched_only)
    ids = np.array([0, 2, 2])
    name = f"sgd-touched-only-{touched_only}"
    with OPTIMISERS.added(name, entry):
        after = steps_of(name, 4, [ids])
        config = dataclasses.replace(SMALL, optimiser=name, learning_rate=0.5)
        losses = [row["loss"] for row in train(config, made_fold()).history]
    before, rng = params_of(4), np.random.default_rng(1)
    grads, of_net = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    table = np.asarray(before["tables"]["item"])
    sums = np.stack([grads[ids == row].sum(axis=0) for row in range(4)])
    new = table - 0.01 * 2.0 * (sums + 0.1 * table)
    if touched_only:
        new[[1, 3]] = table[[1, 3]]
    np.testing.assert_allclose(after["tables"]["item"], new, rtol=1e-5)
    np.testing.assert_allclose(after["user"]["w"], 1 - 0.01 * (of_net + 0.1), rtol=1e-5)
    assert losses[-1] < losses[0]
