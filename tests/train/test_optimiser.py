"""Row-sparse optimisers: what is touched moves as in the dense one, no other row."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm
from research.config import Config, structure
from research.prepare import check_config, prepare
from research.train import optimiser as row_sparse
from research.train.loop import compiled_epoch, train
from research.train.optimiser import OPTIMISERS, Touched, distinct
from research.train.run_state import init_state, traced_values
from research.types import InputError
from tests.world import made_fold

HYPER = {
    "learning_rate": jnp.float32(0.01),
    "weight_decay": jnp.float32(0.1),
    "table_rate": jnp.float32(2.0),
}
SPARSE = ("lazy-adam", "rowwise-adagrad")
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
    state, rng = optimiser.init(params), np.random.default_rng(1)
    for ids in lookups:
        grads = jnp.asarray(rng.normal(size=(len(ids), 4)), jnp.float32)
        touched = [Touched("item", jnp.asarray(ids, jnp.int32), grads)]
        nets = {"user": {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}}
        params, state = optimiser.apply(params, nets, touched, state, HYPER)
    return params


@pytest.fixture(params=[0, 100], ids=["row by row", "whole"])
def moved(request, monkeypatch):
    """How tables are moved, whatever their size."""
    monkeypatch.setattr(row_sparse, "WHOLE", request.param)


@pytest.mark.usefixtures("moved")
def test_lazy_adam_is_adamw_where_every_row_is_touched():
    rng = np.random.default_rng(2)
    # Every row once, and 3,000 more: doubles, in more than one chunk of rows.
    lookups = [
        np.concatenate([rng.permutation(1_500), rng.integers(0, 1_500, 3_000)])
        for _ in range(5)
    ]
    lazy, dense = (steps_of(n, 1_500, lookups) for n in ("lazy-adam", "adamw"))
    for one, other in zip(jax.tree.leaves(lazy), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("moved")
def test_rowwise_adagrad_is_its_definition():
    rng = np.random.default_rng(3)
    lookups = [rng.integers(0, 9, 6) for _ in range(4)]
    found = steps_of("rowwise-adagrad", 9, lookups)["tables"]["item"]
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


def test_distinct_sums_the_gradients_of_a_row_whatever_was_in_the_index():
    rng = np.random.default_rng(4)
    ids, grads = rng.integers(0, 50, 40), rng.normal(size=(40, 3)).astype(np.float32)
    index = rng.integers(-5, 5_000, 50)
    rows, sums, number, _ = distinct(
        jnp.asarray(ids, jnp.int32),
        jnp.asarray(grads),
        jnp.asarray(index, jnp.int32),
        size=48,
    )
    assert rows.shape == (48,)
    assert sums.shape == (48, 3)
    assert number == len(set(ids))
    assert set(rows[:number].tolist()) == set(ids)
    assert int(rows[number:].min()) > 50
    for row, found in zip(rows[:number], sums[:number], strict=True):
        np.testing.assert_allclose(found, grads[ids == int(row)].sum(axis=0), rtol=1e-5)
    assert not sums[number:].any()


def epoch_of(name: str, steps: int):
    """(state before, state after so many steps, the pairs of those steps, world)."""
    fold = made_fold()
    config = dataclasses.replace(SMALL, optimiser=name, user_features=("id",))
    run = prepare(config, fold)
    config, (world, sizes) = run.config, run.world

    def start():
        return init_state(run, world, sizes)

    # An epoch is kept by its config, which doesn't say how tables are moved.
    compiled_epoch.cache_clear()
    index = jnp.arange(steps * 64, dtype=jnp.int32).reshape(steps, 64)
    after, _ = compiled_epoch(structure(config))(
        start(), index, traced_values(config), world
    )
    return start(), after, index, world


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("name", SPARSE)
def test_a_step_leaves_rows_alone_that_it_did_not_use(name):
    before, after, index, world = epoch_of(name, 1)
    used = {
        "user": set(np.asarray(world.pairs.query[index[0]]).tolist()),
        "item": set(np.asarray(world.pairs.candidate[index[0]]).tolist()),
    }
    for table, rows in used.items():
        old, new = (np.asarray(s.params["tables"][table]) for s in (before, after))
        moved = set(np.flatnonzero((old != new).any(axis=1)).tolist())
        memory = np.asarray(after.optimiser.tables[table].memory)
        assert moved == rows
        assert len(rows) < len(old)
        assert set(np.flatnonzero(memory.any(axis=1)).tolist()) == rows


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("name", SPARSE)
def test_a_row_whose_gradient_is_zero_is_not_touched(name):
    optimiser, params = OPTIMISERS[name], params_of(9)
    state = optimiser.init(params)
    # Row 3 cancels out, row 5 is looked up and not used, row 7 moves.
    ids = jnp.asarray([3, 7, 3, 5], jnp.int32)
    grads = jnp.asarray([[1.0] * 4, [2.0] * 4, [-1.0] * 4, [0.0] * 4])
    nets = {"user": {"w": jnp.zeros((3, 2))}}
    after, state = optimiser.apply(
        params, nets, [Touched("item", ids, grads)], state, HYPER
    )
    old, new = (np.asarray(p["tables"]["item"]) for p in (params, after))
    assert np.flatnonzero((old != new).any(axis=1)).tolist() == [7]
    memory = np.asarray(state.tables["item"].memory)
    assert np.flatnonzero(memory.any(axis=1)).tolist() == [7]


def test_history_slots_that_are_empty_touch_nothing():
    # The first pairs of users have no history, yet each slot looks up some row.
    before, after, index, world = epoch_of("lazy-adam", 1)
    queries, positions = world.pairs.query[index[0]], world.pairs.position[index[0]]
    used: set[int] = set()
    for user, position in zip(queries.tolist(), positions.tolist(), strict=True):
        first = max(int(world.offsets[user]), position - 5)
        used |= set(np.asarray(world.item[first:position]).tolist())
    old, new = (np.asarray(s.params["tables"]["history"]) for s in (before, after))
    moved = set(np.flatnonzero((old != new).any(axis=1)).tolist())
    assert moved <= used
    assert len(moved) > len(used) / 2


@pytest.mark.parametrize("name", SPARSE)
def test_row_sparse_optimisers_learn(name):
    config = dataclasses.replace(SMALL, optimiser=name, table_rate=10.0)
    losses = [row["loss"] for row in train(config, made_fold()).history]
    assert losses[-1] < losses[0]


def test_an_optimiser_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="unknown optimiser 'lazyadam'"):
        check_config(dataclasses.replace(arm("in-batch"), optimiser="lazyadam"))
