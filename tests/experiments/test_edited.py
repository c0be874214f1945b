"""What is edited while a process lives, as in a notebook, is not used as it was."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest

from experiments.arms import arm
from experiments.loaded import fold_of, prepared_run
from experiments.notebook import compare
from research.config import Config
from research.features import FEATURES, ITEM, Feature
from research.losses import LOSSES, Loss
from research.towers import ENCODERS, Encoder

SCALE = 1.0
SLOW = {"epochs": 1, "learning_rate": 1e-9}  # so that the loss is that of the start


def scaled(z):
    return SCALE * z


def within(positive, negatives, hyper):
    """A loss that refers to it in a function within, as those with reducers do."""
    return jax.vmap(lambda z: -scaled(z))(positive)


class Scaled(nn.Module):
    """The last click alone, times a number."""

    def __call__(self, user):
        return scaled(user.history[:, 0])


def rewrite(path, users):
    items = range(30)
    rows = [(u, i, 1000 + (7 * u + i) % 30) for u in range(users) for i in items]
    lines = "".join(f"{u},i{i},{t}\n" for u, i, t in rows)
    path.write_text(f"user,item,timestamp\n{lines}")


def test_an_edited_data_set_is_read_again(tmp_path):
    path = tmp_path / "shop.csv"
    config = Config(dataset=str(path), model="popularity")
    for users in (8, 12):
        rewrite(path, users)
        assert fold_of(config).fitted.n_users == users
        (row,) = compare({"popularity": config})
        assert len(row.record.held) == users


def test_edited_vectors_of_items_are_read_again(tmp_path, data):
    path, found = tmp_path / "vectors.npy", []
    config = dataclasses.replace(arm("tiny"), epochs=1, item_features=("array",))
    config = dataclasses.replace(config, item_array=str(path))
    items = fold_of(config, str(data)).fitted.n_items
    for seed in range(2):
        np.save(path, np.random.default_rng(seed).normal(size=(items, 4)))
        (row,) = compare({"mine": config}, data_dir=str(data))
        found.append(row.served.items)
    assert not np.allclose(*found)


def test_a_number_that_a_loss_refers_to_is_trained(data, monkeypatch):
    monkeypatch.setitem(LOSSES, "leaned", Loss(within))
    config, found = dataclasses.replace(arm("tiny"), loss="leaned", **SLOW), []
    for scale in (1.0, 3.0):
        monkeypatch.setattr(f"{__name__}.SCALE", scale)
        (row,) = compare({"mine": config}, data_dir=str(data))
        found.append(row.history["loss"][0])
    assert found[1] == pytest.approx(3 * found[0], rel=1e-3)


def test_an_edited_encoder_serves_as_it_trains(data, monkeypatch):
    """Without its only input all users have one vector."""
    monkeypatch.setitem(ENCODERS, "scaled", Encoder(Scaled))
    config = dataclasses.replace(arm("tiny"), encoder="scaled", user_features=())
    spread = []
    for scale in (1.0, 0.0):
        monkeypatch.setattr(f"{__name__}.SCALE", scale)
        (row,) = compare({"mine": config}, data_dir=str(data))
        spread.append(np.ptp(row.served.users, axis=0).max())
    assert spread[0] > 0.01
    assert spread[1] < 1e-6


def lengths(request):
    return np.full((len(request.table.id), 1), SCALE)


def test_an_edited_feature_that_no_config_names_is_made_anew(data, monkeypatch):
    entry = Feature("a number", (ITEM,), lengths, default=(ITEM,))
    monkeypatch.setitem(FEATURES, "length", entry)
    config = dataclasses.replace(arm("tiny"), item_features=None)
    for scale in (1.0, 2.0):
        monkeypatch.setattr(f"{__name__}.SCALE", scale)
        run = prepared_run(config, str(data))
        assert run.config.item_features[-1] == "length"
        assert run.world[0].items.dense[0, -1] == scale
