"""A training that was cut off goes on from its checkpoint, to the same bits."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.arms import arm
from research.files import read_arrays, write_arrays
from research.prepare import prepare
from research.train.checkpoint import Checkpoint
from research.train.loop import train, train_together
from tests.train import begun
from tests.world import made_fold

SMALL = dataclasses.replace(begun.SMALL, epochs=5, dropout=0.1)
FAST = {
    "in-batch+logq": {},
    "vector cache": {"negatives": ("in-batch", "vector-cache:32")},
    "streaming frequency": {"frequency": "streaming"},
    # an epoch has 16 steps: it ends within a window
    "periodic frequency": {"frequency": "periodic,window=7"},
    "learned temperature": {"temperature_kind": "learned"},
    "evaluate_every": {"evaluate_every": 2, "fit_on": "train"},
}
SLOW = {
    "temperature of each user": {"temperature_kind": "per-user"},
    "band of ranks": {
        "negatives": ("uniform:32", "rank-band:4,low=5,high=9"),
        "logq": 0.0,
    },
    "optimiser of touched rows": {"optimiser": "lazy-adam"},
    "opponent": {"loss": "adv-info-nce"},
    "thresholds of users": {"loss": "sl-at-k"},
    "batches by time": {"batch_order": "time"},
}
OTHER = FAST | SLOW


class CutOff(Exception):
    pass


def measured(users, items):
    """A metric of vectors; its best isn't the last."""
    return {"nearness": -abs(float(np.linalg.norm(users)) - 9.0), "other": np.nan}


def kept_at(path, interval=0.0):
    def load():
        return read_arrays(path) if path.is_file() else None

    return Checkpoint(load, lambda arrays: write_arrays(path, arrays, 0), interval)


def cut_off_after(epochs):
    def on_epoch(epoch, row):
        if epoch > epochs:
            raise CutOff

    return on_epoch


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(name, tmp_path):
    config = dataclasses.replace(arm("in-batch+logq", SMALL), **OTHER[name])
    fold = made_fold(fit_on=config.fit_on)
    validate = measured if config.evaluate_every else None
    whole = train(config, fold, validate=validate)
    kept, began = kept_at(tmp_path / "kept.npz"), []
    for cut in (1, 3):  # twice: what went on is kept and goes on as well
        with pytest.raises(CutOff):
            train(config, fold, cut_off_after(cut), validate, checkpoint=kept)
    after = train(config, fold, lambda epoch, row: began.append(epoch), validate,
                  checkpoint=kept)  # fmt: skip
    assert began == [4, 5]
    assert str(after.history) == str(whole.history)  # a NaN is like another
    jax.tree.map(np.testing.assert_array_equal, after.params, whole.params)
    np.testing.assert_array_equal(after.user_vectors, whole.user_vectors)
    np.testing.assert_array_equal(after.item_vectors, whole.item_vectors)
    assert after.temperature == whole.temperature
    assert after.compile_seconds > 0
    assert after.seconds > 0


def test_a_short_training_keeps_nothing(tmp_path):
    path = tmp_path / "kept.npz"
    train(SMALL, made_fold(), checkpoint=kept_at(path, interval=3600.0))
    assert not path.exists()


def test_runs_of_one_program_have_no_checkpoints(tmp_path):
    runs = [prepare(dataclasses.replace(SMALL, seed=n), made_fold()) for n in (0, 1)]
    with pytest.raises(ValueError, match="trained alone"):
        train_together(runs, checkpoint=kept_at(tmp_path / "kept.npz"))
