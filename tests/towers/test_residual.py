"""Residual layers and dropout of whole clicks, by hand on tiny inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.towers.inputs import ItemInput, UserInput
from research.towers.towers import ItemTower, LastClick, Mean, Rates, UserTower

KEY = jax.random.key(0)
ROWS = jnp.arange(12.0).reshape(2, 6) / 10 + 0.1


def a_user(clicks: int = 4) -> UserInput:
    history = jax.random.normal(KEY, (2, clicks, 6))
    keep = jnp.ones((2, clicks), bool)
    return UserInput(history, keep, {"user": ROWS}, jnp.ones((2, 1)))


def vectors(tower, params, given, rates=None, key=None):
    if isinstance(given, ItemInput):
        return np.asarray(tower.apply(params, given))
    return np.asarray(tower.apply(params, given, rates or Rates(), key))


@pytest.mark.parametrize("layers", ["added", "residual"])
@pytest.mark.parametrize("side", ["user", "item"])
def test_hidden_layers_start_without_an_effect(side, layers):
    """At first a vector is W x + b of its input, plus the user's or item's own row.

    The input has that row with layers residual alone.
    """
    if side == "user":
        tower, given = UserTower(Mean, (5,), 6, "dot", layers), a_user()
        params = tower.init(KEY, given, Rates(), None)
        parts = given.history.mean(axis=1), ROWS, given.dense
    else:
        tower = ItemTower((5,), 6, "dot", layers)
        given = ItemInput({"item": ROWS}, jnp.ones((2, 3)))
        params, parts = tower.init(KEY, given), (ROWS, given.dense)
    read = [part for part in parts if layers == "residual" or part is not ROWS]
    linear, x = params["params"]["Residual_0"]["linear"], jnp.concatenate(read, axis=1)
    expected = x @ linear["kernel"] + linear["bias"][None] + ROWS
    np.testing.assert_allclose(vectors(tower, params, given), expected, rtol=1e-5)


@pytest.mark.parametrize("side", ["user", "item"])
def test_a_tower_that_reads_its_own_row_alone_is_that_row(side):
    if side == "user":
        tower = UserTower(None, (5,), 6, "dot", "added")
        given = a_user()._replace(dense=jnp.ones((2, 0)))
        params = tower.init(KEY, given, Rates(), None)
    else:
        tower = ItemTower((5,), 6, "dot", "added")
        given = ItemInput({"item": ROWS}, jnp.ones((2, 0)))
        params = tower.init(KEY, given)
    assert not params  # no bias either, which would be the same for all
    np.testing.assert_array_equal(vectors(tower, params, given), ROWS)


def test_the_hidden_layers_learn_at_the_first_step():
    """A last layer of zeros has a gradient, unlike a whole branch of zeros."""
    tower = UserTower(Mean, (5,), 6, "dot", "residual")
    params = tower.init(KEY, a_user(), Rates(), None)

    def loss(params):
        return (tower.apply(params, a_user(), Rates(), None) ** 2).sum()

    gradient = jax.grad(loss)(params)["params"]["Residual_0"]["last"]["kernel"]
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("rate", [0.0, 0.999])
def test_clicks_are_dropped_in_training_alone(rate):
    tower = UserTower(Mean, (), 6, "dot", "residual", drops_clicks=True)
    given = a_user(50)
    params = tower.init(KEY, given, Rates(), None)
    served = vectors(tower, params, given, Rates(0.0, rate))
    trained = vectors(tower, params, given, Rates(0.0, rate), KEY)
    assert np.allclose(served, trained, atol=1e-6) is (rate == 0.0)
    if rate:  # what is left is the map of an empty history
        empty = given._replace(keep=jnp.zeros_like(given.keep))
        np.testing.assert_allclose(
            trained, vectors(tower, params, empty), rtol=1e-5, atol=1e-6
        )


def test_about_the_share_that_is_asked_for_is_dropped():
    """The mean of one-hot clicks shows which ones were kept."""
    clicks = 400
    tower = UserTower(Mean, (), clicks, "dot", "residual", drops_clicks=True)
    given = UserInput(
        jnp.eye(clicks)[None], jnp.ones((1, clicks), bool), {}, jnp.ones((1, 0))
    )
    params = tower.init(KEY, given, Rates(), None)
    params["params"]["Residual_0"]["linear"]["kernel"] = jnp.eye(clicks)
    kept = vectors(tower, params, given, Rates(0.0, 0.3), KEY)[0] > 0
    assert 0.6 < kept.mean() < 0.8


def test_the_latest_click_stays_for_an_encoder_that_goes_by_order():
    tower = UserTower(LastClick, (), 6, "dot", "residual", True, ordered=True)
    given = a_user(3)
    params = tower.init(KEY, given, Rates(), None)
    latest = given._replace(keep=given.keep.at[:, 1:].set(False))
    trained = vectors(tower, params, given, Rates(0.0, 0.999), KEY)
    np.testing.assert_allclose(trained, vectors(tower, params, latest), rtol=1e-5)
