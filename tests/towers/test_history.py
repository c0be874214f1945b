"""Histories: what is gathered, against a slow reading in Python."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.prepare import prepare
from research.towers.inputs import (
    HISTORY,
    SHORT,
    HistoryLookup,
    SideArrays,
    history_lookup,
    pooled,
    rows_of,
)
from research.train.model import serve_pairs, serve_side
from research.types import Events
from tests.train.begun import SMALL, begun
from tests.world import made_fold

LENGTH = 5
BARE = dataclasses.replace(SMALL, history=LENGTH, user_features=())
LOOK_UP = jax.jit(history_lookup, static_argnums=(5, 6))


def gathered(
    fitted: Events,
    item: np.ndarray,
    entity: np.ndarray,
    position: np.ndarray,
    shuffled: bool = False,
) -> HistoryLookup:
    none = jnp.zeros((fitted.n_users, 0))
    return LOOK_UP(
        SideArrays({}, none),
        jnp.asarray(item),
        jnp.asarray(fitted.offsets, jnp.int32),
        jnp.asarray(entity, jnp.int32),
        jnp.asarray(position, jnp.int32),
        LENGTH,
        shuffled,
    )


def lists(found: HistoryLookup) -> list[list[int]]:
    ids, keep = np.asarray(found.ids[HISTORY]), np.asarray(found.keep)
    return [row[kept].tolist() for row, kept in zip(ids, keep, strict=True)]


def every_position() -> tuple[Events, np.ndarray, np.ndarray]:
    """Each event, and each user's end."""
    fitted = made_fold().fitted
    entity = np.concatenate([fitted.user, np.arange(fitted.n_users)])
    position = np.concatenate([np.arange(len(fitted.user)), fitted.offsets[1:]])
    return fitted, entity, position


def test_the_gather_is_the_last_items_before_the_position_latest_first():
    fitted, entity, position = every_position()
    found = lists(gathered(fitted, fitted.item, entity, position))
    for u, at, seen in zip(entity.tolist(), position.tolist(), found, strict=True):
        own = fitted.item[fitted.offsets[u] : at].tolist()
        assert seen == own[::-1][:LENGTH]


def test_nothing_at_or_after_the_position_and_no_other_user_is_seen():
    """Every other event is given an item that nobody has."""
    fitted, entity, position = every_position()
    before = lists(gathered(fitted, fitted.item, entity, position))
    for row in range(0, len(entity), 97):
        u, at = int(entity[row]), int(position[row])
        poisoned = np.full_like(fitted.item, -1)
        start = fitted.offsets[u]
        poisoned[start:at] = fitted.item[start:at]
        found = gathered(fitted, poisoned, entity, position)
        assert lists(found)[row] == before[row]


def test_evaluation_sees_all_that_is_fitted_and_no_more():
    """World's events are the fitted ones: a position at the end sees the last."""
    phase = made_fold(fit_on="train")
    world, _ = prepare(Config(), phase).world
    assert world.item.shape == (len(phase.fitted.item),)
    users = phase.evaluated
    ends = phase.fitted.offsets[users + 1]
    found = lists(gathered(phase.fitted, np.asarray(world.item), users, ends))
    for u, seen in zip(users.tolist(), found, strict=True):
        held = set(phase.held_item[phase.held_user == u].tolist())
        assert not held & set(seen)
        assert seen[0] == phase.fitted.item[phase.fitted.offsets[u + 1] - 1]


def test_a_user_is_served_with_its_last_event():
    run, world, state, _ = begun(BARE)
    params, users = state.params, jnp.arange(3)
    whole, shorter = (
        run.model.serve_users(params, world, users, world.offsets[users + 1] - less)
        for less in (0, 1)
    )
    served = serve_side(run.model, "user", params, world, users)
    np.testing.assert_allclose(served, whole, rtol=1e-4, atol=1e-5)
    assert np.abs(whole - shorter).max() > 1e-3


def test_the_user_of_a_pair_is_encoded_without_its_event():
    run, world, state, _ = begun(BARE)
    params = state.params
    pairs = np.array([3, 50, 200])
    event = world.pairs.position[pairs]
    np.testing.assert_array_equal(world.item[event], world.pairs.candidate[pairs])
    found, _ = serve_pairs(run.model, params, world, pairs)
    users = world.pairs.query[pairs]
    before = run.model.serve_users(params, world, users, event)
    np.testing.assert_allclose(found, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 5, SHORT, SHORT + 1])
def test_the_sum_and_both_gradients_are_those_of_the_definition(length):
    draw = np.random.default_rng(0)
    table = jnp.asarray(draw.normal(size=(9, 4)), jnp.float32)
    ids = jnp.asarray(draw.integers(0, 9, (3, length)), jnp.int32)
    weight = jnp.asarray(draw.normal(size=(3, length)), jnp.float32)
    np.testing.assert_array_equal(rows_of(table, ids), table[ids])

    def defined(weight: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sum(weight[:, :, None] * rows, axis=1) ** 2)

    def found(weight: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.sum(pooled(weight, rows) ** 2)

    given = weight, table[ids]
    both = (jax.value_and_grad(f, argnums=(0, 1))(*given) for f in (found, defined))
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
