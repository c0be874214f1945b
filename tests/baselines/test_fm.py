"""The factorisation machine against its own formula, term by term."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from research.baselines.descent import (
    Sides,
    click_epochs,
    machine_vectors,
    pairwise_loss,
)
from tests.evaluate.made import fold_of

USERS, ITEMS, F, G, D = 3, 4, 2, 3, 5
DRAW = np.random.default_rng(0)
SIDES = Sides(
    jnp.asarray(DRAW.integers(0, 2, (USERS, F)), jnp.float32),
    jnp.asarray(DRAW.integers(0, 2, (ITEMS, G)), jnp.float32),
)
PARAMS = {
    name: jnp.asarray(DRAW.normal(size=(n, D)), jnp.float32)
    for name, n in {
        "user": USERS,
        "user_features": F,
        "item": ITEMS,
        "item_features": G,
    }.items()
} | {
    "item_bias": jnp.asarray(DRAW.normal(size=ITEMS), jnp.float32),
    "item_features_bias": jnp.asarray(DRAW.normal(size=G), jnp.float32),
}


def machine(user: int, item: int) -> float:
    """y of one row: first-order terms and every pair of its features [rendle2010]."""
    parts = [
        (np.eye(USERS)[user], "user"),
        (np.asarray(SIDES.users)[user], "user_features"),
    ]
    parts += [
        (np.eye(ITEMS)[item], "item"),
        (np.asarray(SIDES.items)[item], "item_features"),
    ]
    x = np.concatenate([part for part, _ in parts])
    v = np.concatenate([np.asarray(PARAMS[name]) for _, name in parts])
    bias = [PARAMS.get(f"{name}_bias", np.zeros(len(part))) for part, name in parts]
    total = x @ np.concatenate(bias)
    for f in range(len(x)):
        for g in range(f + 1, len(x)):
            total += v[f] @ v[g] * x[f] * x[g]
    return float(total)


def test_a_dot_product_and_a_bias_rank_as_the_machine():
    u, i, bias = machine_vectors(PARAMS, SIDES, np.arange(USERS), np.arange(ITEMS))
    u, i, bias = (np.asarray(x) for x in (u, i, bias))
    scores = u @ i.T + bias
    rows = [[machine(user, item) for item in range(ITEMS)] for user in range(USERS)]
    expected = np.array(rows)
    gap = expected - scores  # the same for all items of a user
    np.testing.assert_allclose(gap, np.broadcast_to(gap[:, :1], gap.shape), atol=1e-4)
    assert np.ptp(gap[:, 0]) > 0.1


def test_the_loss_by_its_definition():
    user, item, drawn = np.array([0, 2]), np.array([1, 3]), np.array([2, 0])
    weight = np.array([1.0, 0.0])
    gap = machine(0, 1) - machine(0, 2)
    expected = math.log1p(math.exp(-gap)) / 2
    ids = (jnp.asarray(x, jnp.int32) for x in (user, item, drawn))
    batch = (*ids, jnp.asarray(weight, jnp.float32))
    lost = jax.jit(pairwise_loss)
    found = lost(PARAMS, batch, SIDES, jnp.float32(0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    more = lost(PARAMS, batch, SIDES, jnp.float32(0.5))
    size = 0.0
    for b in range(2):
        pair = np.array([item[b], drawn[b]])
        u, i, bias = machine_vectors(PARAMS, SIDES, user[b : b + 1], pair)
        size += sum(float((np.asarray(x) ** 2).sum()) for x in (u, i, bias))
    np.testing.assert_allclose(more - found, 0.5 * size / 2, rtol=1e-4)


def test_an_epoch_is_every_click_with_its_draws_and_clicked_draws_weigh_nothing():
    fitted = [(user, (user + step) % 5) for user in range(4) for step in range(3)]
    fold = fold_of(fitted, [(0, 4)], 4, np.ones((5, 1), bool))
    (columns,) = click_epochs(fold, {"negatives": 7.0, "epochs": 1.0}, 0)
    users, items, drawn, weight = (column[0].tolist() for column in columns)
    assert sorted(zip(users, items, strict=True)) == sorted(fitted * 7)
    assert set(drawn) == set(range(5))
    new = [pair not in fitted for pair in zip(users, drawn, strict=True)]
    assert weight == new
