"""Two towers that can't see each other."""

import dataclasses
import functools
from typing import Any, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from research.config import Config
from research.prepare import prepare
from research.towers.inputs import ItemInput, UserInput, init_tables
from research.towers.towers import OUTPUTS, ItemTower, Mean, Rates, UserTower, normalise
from research.train.loop import train
from research.train.model import Model, Params, make_model, serve_all
from research.train.world import World
from tests.world import made_fold

SMALL = Config(history=4, dim=6, user_hidden=(8,), item_hidden=(8,))


@functools.cache
def made(**changes: Any) -> tuple[Model, Params, World]:
    """The towers of a config on synthetic data, with parameters of the right shape."""
    phase = made_fold()
    run = prepare(Config(**{**SMALL.__dict__, **changes}), phase)
    config, (world, sizes) = run.config, run.world
    model = make_model(config)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), sizes, world, config))
    draw = np.random.default_rng(0)
    params = jax.tree.map(
        lambda s: jnp.asarray(draw.normal(0, 0.3, s.shape), s.dtype), shapes
    )
    return model, params, world


def a_user() -> UserInput:
    keep = jnp.ones((2, 3), bool)
    rows = {"age": jnp.ones((2, 5))}
    return UserInput(jnp.ones((2, 3, 6)), keep, rows, jnp.ones((2, 0)))


def an_item() -> ItemInput:
    return ItemInput({"item": jnp.ones((3, 6))}, jnp.ones((3, 4)))


def test_a_tower_refuses_the_other_sides_input():
    user, item = UserTower(Mean, (4,), 6, "cosine"), ItemTower((4,), 6, "cosine")
    key = jax.random.key(0)
    jax.eval_shape(lambda: user.init(key, a_user(), Rates(), None))
    jax.eval_shape(lambda: item.init(key, an_item()))
    with pytest.raises(TypeCheckError):
        user.init(key, an_item(), Rates(), None)
    with pytest.raises(TypeCheckError):
        item.init(key, a_user())


def test_neither_input_has_a_place_for_the_other_side():
    for mine, other in ((UserInput, ItemInput), (ItemInput, UserInput)):
        assert not issubclass(mine, other)
        for hint in get_type_hints(mine).values():
            assert hint is not other
            assert other not in getattr(hint, "__args__", ())
    taken = {
        tower: [h for n, h in get_type_hints(tower.__call__).items() if n != "return"]
        for tower in (UserTower, ItemTower)
    }
    assert UserInput in taken[UserTower]
    assert taken[ItemTower] == [ItemInput]
    assert ItemInput not in taken[UserTower]


def test_a_user_vector_is_the_same_to_the_bit_whatever_item_is_scored_beside_it():
    model, params, world = made()

    @jax.jit
    def scored(params: Params, entity: jax.Array, items: jax.Array):  # type: ignore[no-untyped-def]
        users = model.serve_users(params, world, entity, world.offsets[entity + 1])
        return users, users @ model.serve_items(params, world, items).T

    entity = jnp.arange(8, dtype=jnp.int32)
    users, scores = scored(params, entity, jnp.arange(5, dtype=jnp.int32))
    other_items = scored(params, entity, jnp.arange(50, 55, dtype=jnp.int32))
    np.testing.assert_array_equal(users, other_items[0])
    assert not np.array_equal(scores, other_items[1])
    # nor does it move with anything that the item tower is made of
    tables = {**params["tables"], "item": params["tables"]["item"] + 1.0}
    nets = jax.tree.map(lambda x: x * 2.0, params["item"])
    moved = scored({**params, "tables": tables, "item": nets}, entity, entity[:5])
    np.testing.assert_array_equal(users, moved[0])


@pytest.mark.parametrize(
    ("side", "tables"),
    [("user", {"user", "gender", "history"}), ("item", {"item", "decade"})],
)
def test_a_vector_knows_nothing_of_the_other_side(side, tables):
    model, params, world = made(user_features=("id", "gender"))
    ids = jnp.arange(9)

    def total(params: Params) -> jax.Array:
        found = (
            model.serve_users(params, world, ids, world.offsets[ids + 1])
            if side == "user"
            else model.serve_items(params, world, ids)
        )
        return jnp.sum(found**3)

    grads = jax.jit(jax.grad(total))(params)
    touched = {name for name, g in grads["tables"].items() if jnp.any(g != 0)}
    assert touched == tables
    for net in ("user", "item"):
        moved = any(jnp.any(g != 0) for g in jax.tree.leaves(grads[net]))
        assert moved is (net == side)


@pytest.mark.parametrize("output", OUTPUTS)
def test_scores_of_pairs_one_by_one_are_the_product_of_the_vectors(output):
    model, params, world = made(output=output)
    users, items = serve_all(model, params, world, jnp.arange(20, dtype=jnp.int32))
    scores = users @ items.T
    draw = np.random.default_rng(0)
    user, item = draw.integers(0, 20, 30), draw.integers(0, len(items), 30)
    u, i = jnp.asarray(user), jnp.asarray(item)

    @jax.jit
    def pairs(params: Params) -> jax.Array:
        one = model.serve_users(params, world, u, world.offsets[u + 1])
        return jnp.sum(one * model.serve_items(params, world, i), axis=1)

    np.testing.assert_allclose(pairs(params), scores[u, i], rtol=1e-4, atol=1e-6)


def test_how_many_are_served_at_once_changes_no_bit():
    model, params, world = made()
    ids = jnp.arange(20, dtype=jnp.int32)
    users, items = serve_all(model, params, world, ids, tile=16)
    few, same = serve_all(model, params, world, ids[7:9], tile=16)
    np.testing.assert_array_equal(users[7:9], few)
    np.testing.assert_array_equal(items, same)


def test_the_output_is_of_length_one_as_it_comes_or_no_longer_than_one():
    ids = jnp.arange(20, dtype=jnp.int32)
    model, params, world = made(output="dot")
    free = serve_all(model, params, world, ids)
    for output, expected in (
        ("cosine", lambda length: np.ones_like(length)),
        ("dot", lambda length: length),
        ("bounded", lambda length: np.minimum(length, 1)),
    ):
        found = serve_all(made(output=output)[0], params, world, ids)
        for vectors, before in zip(found, free, strict=True):
            length = np.linalg.norm(before, axis=1, keepdims=True)
            wanted = before / length * expected(length)
            np.testing.assert_allclose(vectors, wanted, rtol=1e-4, atol=1e-6)
    lengths = np.linalg.norm(np.concatenate(free), axis=1)
    assert (lengths < 0.99).any()
    assert (lengths > 1.01).any()


def test_served_by_dot_products_vectors_keep_their_lengths_and_directions():
    config = dataclasses.replace(SMALL, epochs=1, batch=16)
    done = train(config, made_fold())
    served = train(dataclasses.replace(config, serve_norm="dot"), made_fold())
    pairs = (
        (done.user_vectors, served.user_vectors),
        (done.item_vectors, served.item_vectors),
    )
    for unit, vectors in pairs:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        assert lengths.std() > 1e-4
        np.testing.assert_allclose(vectors / lengths, unit, atol=1e-5)


def test_tables_start_small_each_with_values_of_its_own():
    sizes = {"history": 300, "item": 300, "age": 300}
    tables = init_tables(jax.random.key(0), sizes, 16, 0.05)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pair = [list(tables.values())[n] for n in (one, other)]
        assert pair[0].shape == pair[1].shape == (300, 16)
        assert abs(np.corrcoef(*(np.ravel(table) for table in pair))[0, 1]) < 0.06
    for table in tables.values():
        assert abs(float(jnp.std(table)) - 0.05) < 0.002
        assert abs(float(jnp.mean(table))) < 0.003
    # Without a scale it is Xavier's, by a table's rows and width.
    sizes = {"item": 40, "age": 900}
    for table in init_tables(jax.random.key(0), sizes, 600, 0.0).values():
        expected = np.sqrt(2 / sum(table.shape))
        assert float(jnp.std(table)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    width = 4000
    tower = UserTower(None, (), 1, "dot")
    given = UserInput(
        jnp.zeros((1, 0, 1)),
        jnp.zeros((1, 0), bool),
        {"row": jnp.ones((1, width))},
        jnp.zeros((1, 0)),
    )
    params = tower.init(jax.random.key(0), given, Rates(), None)
    # A linear tower that sums its input: how much of it was let through, and as what.
    summing = jax.tree.map(
        lambda p: jnp.ones_like(p) if p.ndim == 2 else jnp.zeros_like(p), params
    )

    def out(key: jax.Array | None, dropout: float) -> float:
        return float(
            tower.apply(summing, given, Rates(jnp.float32(dropout)), key)[0, 0]
        )

    assert out(None, rate) == width
    assert out(jax.random.key(1), 0.0) == width
    kept = out(jax.random.key(1), rate) * (1 - rate) / width
    assert abs(kept - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / width)
    assert out(jax.random.key(2), rate) != out(jax.random.key(1), rate)


def test_a_zero_row_stays_zero_with_a_finite_gradient():
    rows = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    assert normalise(rows)[0].tolist() == [0.0, 0.0]
    weight = jnp.array([[1.0, -2.0], [1.0, 0.0]])
    grad = jax.grad(lambda rows: jnp.sum(weight * normalise(rows)))(rows)
    assert jnp.isfinite(grad).all()
    # d (x / |x|) / dx at (3, 4): (1 - 9 / 25) / 5 and -12 / 25 / 5
    np.testing.assert_allclose(grad[1], [0.128, -0.096], rtol=1e-5)
