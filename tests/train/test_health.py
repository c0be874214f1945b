"""The numbers that every run logs about its vectors, and the alarm."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from research.events import catalogue, fold
from research.train import health as module
from research.train.health import Health, collapse, measure
from research.train.loop import train
from tests.train.begun import SMALL
from tests.world import made_fold, made_ratings


def test_numbers_by_hand():
    users = jnp.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    items = jnp.array([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    found = measure(users, items)
    assert float(found.user_norm) == pytest.approx(2)
    assert float(found.item_norm) == pytest.approx(2)
    assert float(found.alignment) == pytest.approx((0 + 0 + 2) / 3)
    # Of three pairs of users one is the same (distance 0), two are at 2.
    pair = math.log((1 + 2 * math.exp(-4)) / 3)
    assert float(found.user_uniformity) == pytest.approx(pair, rel=1e-6)
    assert float(found.item_uniformity) == pytest.approx(pair, rel=1e-6)
    assert float(found.user_cosine) == pytest.approx(1 / 3)
    # Three items: 0, 1, 2; 1, 2, 0 (as 2 scores more); 0, 1, 2 again.
    assert float(found.distinct_lists) == pytest.approx(2 / 3)
    spread = [np.std([6, 0, 0]), np.std([0, 2, 4]), np.std([6, 0, 0])]
    assert float(found.score_spread) == pytest.approx(np.mean(spread), rel=1e-6)


def test_one_user_for_all_is_an_alarm():
    found = measure(jnp.ones((4, 3)), jnp.eye(4, 3))
    row = {name: float(value) for name, value in found._asdict().items()}
    line = collapse({"epoch": 2.0, **row}, lambda: 1.0)
    assert line is not None
    assert "after epoch 2 the mean cosine of two users is 1.000" in line


def test_one_list_for_all_is_an_alarm_though_users_differ():
    """Users far apart in direction, whose scores put the items in one order."""
    angle = jnp.linspace(0, 1.4, 64)
    users = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    items = jnp.linspace(1, 2, 64)[:, None] * jnp.ones((1, 2))
    row = {
        name: float(value) for name, value in measure(users, items)._asdict().items()
    }
    assert row["user_cosine"] < 0.95
    assert row["distinct_lists"] == pytest.approx(1 / 64)
    line = collapse({"epoch": 2.0, **row}, lambda: row["distinct_lists"])
    assert line is not None
    assert "after epoch 2 1.6% of the users' lists are distinct" in line
    assert collapse({"epoch": 2.0, **row}, lambda: 0.5) is None
    assert collapse({"epoch": 2.0, **row, "distinct_lists": 0.5}, lambda: 0.0) is None


def few_items():
    """A phase whose items have 20 pairs and more each, so that lists hold one item."""
    ratings = made_ratings(items=30)
    keep = ratings.item < 8
    columns = ("user", "item", "rating", "timestamp")
    kept = {name: getattr(ratings, name)[keep] for name in columns}
    return fold(catalogue(ratings._replace(**kept)))


@pytest.mark.slow
def test_an_item_of_many_pairs_is_no_collapse(capsys):
    done = train(dataclasses.replace(SMALL, batch=256, epochs=1), few_items())
    assert done.history[-1]["distinct_lists"] < module.DISTINCT
    assert "collapsed" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_loss_of_0_is_said(capsys):
    """A cache that is never full draws nothing."""
    fold = made_fold()
    clicked = int((fold.fitted.item_counts > 0).sum())
    changes = {"negatives": (f"vector-cache:{clicked}",), "batch": 256, "epochs": 1}
    done = train(dataclasses.replace(SMALL, **changes), fold)
    assert done.history[-1]["loss"] == 0.0
    assert "the loss was exactly 0 in the last epoch" in capsys.readouterr().err


def test_every_epoch_has_them_and_the_alarm_is_said_once(capsys, monkeypatch):
    monkeypatch.setattr(module, "COLLAPSED", -1.0)
    done = train(SMALL, made_fold())
    for row in done.history:
        assert set(Health._fields) <= row.keys()
        assert row["user_norm"] == pytest.approx(1, rel=1e-5)
        assert all(math.isfinite(row[name]) for name in Health._fields)
    assert capsys.readouterr().err.count("collapsed:") == 1
