"""One run of the command line over several devices: the vectors of one device."""

import numpy as np
import pytest

from experiments import runs
from research.files import read_json
from research.train.loop import NotFinite
from tests.train.test_mesh import run_on

# Of no arm of the tests' own: another process doesn't know those. Without a ReLU, near
# whose kink training would magnify rounding.
WORDS = (
    *("train", "--arm", "in-batch+logq", "--dim", "8", "--user-hidden"),
    *("--item-hidden", "--history", "5", "--batch", "128", "--epochs", "2"),
)


def vectors_of(out):
    """A run's folder and its vectors, by side."""
    (path,) = out.glob("runs/*/train/*/vectors.npz")
    return path.parent, dict(np.load(path))


def test_training_is_told_how_many_devices(call, tmp_path, monkeypatch):
    told = []

    def train(prepared, on_epoch, validate, devices, checkpoint):
        told.append(devices)
        return [NotFinite("seen enough")]

    monkeypatch.setattr(runs, "train_together", train)
    monkeypatch.setattr("research.train.mesh.jax.devices", lambda: ["cpu"] * 4)
    monkeypatch.setattr("research.train.mesh.jax.make_mesh", lambda *a, **k: None)
    for words in ((), ("--devices", "4")):
        called = call("train", "--arm", "tiny", *words, "--out", tmp_path)
        assert called.status == 1
    assert told == [1, 4]


@pytest.mark.slow
def test_four_devices_give_the_vectors_of_one(call, data, tmp_path):
    where = ("--data-dir", str(data), "--out", str(tmp_path / "four"))
    run_on(4, "experiments", *WORDS, *where, "--devices", "4")
    assert call(*WORDS, "--out", tmp_path / "one").status == 0
    (many, found), (one, expected) = (vectors_of(tmp_path / n) for n in ("four", "one"))
    assert many.name == one.name, "how many devices there were makes no other run"
    assert read_json(many / "env.json")["devices"] == 4
    assert read_json(one / "env.json")["devices"] == 1
    for side in ("users", "items"):
        np.testing.assert_allclose(found[side], expected[side], atol=1e-5)
