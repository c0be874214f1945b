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

from research.config import compile_key
from research.train.loop import compiled_epoch, train
from research.train.optimiser import (
    Touched,
    decayed_rate,
    init_optimiser,
    move,
)
from research.train.optimisers import OPTIMISERS, Optimiser
from tests.train import begun
from tests.world import made_fold

HYPER = {
    "learning_rate": jnp.float32(0.01),
    "weight_decay": jnp.float32(0.1),
    "table_rate": jnp.float32(2.0),
}
SPARSE = ("lazy-adam", "rowwise-adagrad", "sgd")
SMALL = dataclasses.replace(begun.SMALL, logq=1.0)


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


def adam_l2(table, grads, _, memory, step):
    """Adam on the gradient with the decayed weights: every row moves."""
    grads = grads + 0.1 * table
    memory["first"] = 0.9 * memory.get("first", 0.0) + 0.1 * grads
    memory["second"] = 0.999 * memory.get("second", 0.0) + 0.001 * grads**2
    first, second = memory["first"] / (1 - 0.9**step), memory["second"]
    return first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def rowwise_adagrad(table, grads, used, memory, _):
    """One sum of mean squares a row; a decay of the rows looked up."""
    memory["sums"] = memory.get("sums", 0.0) + np.mean(grads**2, axis=1, keepdims=True)
    return used * (grads / (np.sqrt(memory["sums"]) + 1e-8) + 0.1 * table)


def descent(table, grads, used, *_):
    """Of the rows looked up; ``used`` is 1 everywhere where all rows move."""
    return used * (grads + 0.1 * table)


def by_loops(move_by, lookups: list[np.ndarray], rows: int) -> np.ndarray:
    """The table after steps as those of ``steps_of``, in 64 bits."""
    table = np.asarray(params_of(rows)["tables"]["item"], np.float64)
    rng, memory = np.random.default_rng(1), {}
    for step, ids in enumerate(lookups, 1):
        grads, used = np.zeros_like(table), np.zeros((rows, 1))
        np.add.at(grads, ids, rng.normal(size=(len(ids), 4)))
        used[ids] = 1.0
        rng.normal(size=(3, 2))  # the nets' own
        table = table - 0.01 * 2.0 * move_by(table, grads, used, memory, step)
    return table


LOOKUPS = [np.random.default_rng(3 + n).integers(0, 9, 6) for n in range(4)]


def test_adam_l2_is_adam_on_the_gradient_with_the_decayed_weights():
    """By loops: every row is decayed and moved by its momentum, looked up or not."""
    found = steps_of("adam-l2", 9, LOOKUPS)["tables"]["item"]
    expected = by_loops(adam_l2, LOOKUPS, 9)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    decoupled = steps_of("adamw", 9, LOOKUPS)["tables"]["item"]
    assert np.abs(found - decoupled).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "move_by"), [("rowwise-adagrad", rowwise_adagrad), ("sgd", descent)]
)
def test_rows_that_are_looked_up_move_by_the_optimisers_definition(
    name, move_by, moved
):
    found = steps_of(moved[name], 9, LOOKUPS)["tables"]["item"]
    expected = by_loops(move_by, LOOKUPS, 9)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_gradient_descent_moves_and_decays_the_nets():
    net, rng = np.ones((3, 2)), np.random.default_rng(1)
    for _ in LOOKUPS:
        rng.normal(size=(6, 4))  # of the table
        net -= 0.01 * (rng.normal(size=(3, 2)) + 0.1 * net)
    found = steps_of("sgd", 9, LOOKUPS)["user"]["w"]
    np.testing.assert_allclose(found, net, rtol=1e-5)


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
    change = {"optimiser": name, "user_features": ("id",), **changes}
    run, world, before, hyper = begun.begun(dataclasses.replace(SMALL, **change))
    index = jnp.arange(steps * 64, dtype=jnp.int32).reshape(steps, 64)
    start = jax.tree.map(jnp.copy, before)  # what an epoch is given is given up
    after, _ = compiled_epoch(compile_key(run.config))(start, index, hyper, world)
    return before, after, index, world


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

    def move_by(table, grads, used, *_):
        return descent(table, grads, used if touched_only else 1.0)

    name = f"sgd-touched-only-{touched_only}"
    with OPTIMISERS.added(name, entry):
        found = steps_of(name, 9, LOOKUPS)["tables"]["item"]
        config = dataclasses.replace(SMALL, optimiser=name, learning_rate=0.5)
        losses = [row["loss"] for row in train(config, made_fold()).history]
    np.testing.assert_allclose(found, by_loops(move_by, LOOKUPS, 9), rtol=1e-4)
    assert losses[-1] < losses[0]
