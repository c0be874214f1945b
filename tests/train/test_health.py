"""The numbers that every run logs about its vectors, and the alarm."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.train import health as module
from research.train.health import Health, collapse, measure
from research.train.loop import train
from tests.world import made_fold

SMALL = Config(batch=64, epochs=2, history=5, dim=8, user_hidden=(8,), item_hidden=(8,))


def test_numbers_by_hand():
    users = jnp.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    items = jnp.array([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    found = measure(users, items)
    assert float(found.user_norm) == 2
    assert float(found.item_norm) == 2
    assert float(found.alignment) == pytest.approx((0 + 0 + 2) / 3)
    # Of three pairs of users one is the same (distance 0), two are at 2.
    pair = math.log((1 + 2 * math.exp(-4)) / 3)
    assert float(found.user_uniformity) == pytest.approx(pair, rel=1e-6)
    assert float(found.item_uniformity) == pytest.approx(pair, rel=1e-6)
    assert float(found.user_cosine) == pytest.approx(1 / 3)
    spread = [np.std([6, 0, 0]), np.std([0, 2, 4]), np.std([6, 0, 0])]
    assert float(found.score_spread) == pytest.approx(np.mean(spread), rel=1e-6)


def test_one_user_for_all_is_an_alarm():
    found = measure(jnp.ones((4, 3)), jnp.eye(4, 3))
    line = collapse({"epoch": 2.0, "user_cosine": float(found.user_cosine)})
    assert line is not None
    assert "after epoch 2 the mean cosine of two users is 1.000" in line


def test_every_epoch_has_them_and_the_alarm_is_said_once(capsys, monkeypatch):
    monkeypatch.setattr(module, "COLLAPSED", -1.0)
    done = train(SMALL, made_fold())
    for row in done.history:
        assert set(Health._fields) <= row.keys()
        assert row["user_norm"] == pytest.approx(1, rel=1e-5)
        assert all(math.isfinite(row[name]) for name in Health._fields)
    assert capsys.readouterr().err.count("collapsed:") == 1


def test_any_batch_size_will_do():
    """A smaller batch than the sample, and one that fills it."""
    fold = made_fold()
    for batch in (64, 600):
        row = train(SMALL.__class__(**{**SMALL.__dict__, "batch": batch}), fold).history
        assert row[-1]["score_spread"] > 0
