"""Training with the item tower inside a block, against training with all at hand."""

import dataclasses

import numpy as np
import pytest

from research.config import Config
from research.logits import plan as blocking
from research.logits import reducers as columns
from research.train import step as drawing
from research.train.loop import compiled_epoch, train
from tests.world import made_fold

# Without a ReLU, near whose kink training would magnify rounding.
SMALL = Config(batch=64, epochs=1, history=5, dim=8, user_hidden=(), item_hidden=())


CONFIG = dataclasses.replace(
    SMALL,
    negatives=("in-batch", "catalogue"),
    logq=1.0,
    mask_same_item=True,
    mask_user_positives=True,
)


@pytest.fixture(scope="module")
def whole():
    """A run with all logits at hand."""
    return train(CONFIG, made_fold())


@pytest.mark.parametrize("encoded", [1 << 16, 8], ids=["at hand", "inside"])
def test_an_epoch_in_blocks_is_the_epoch(monkeypatch, whole, encoded):
    monkeypatch.setattr(blocking, "ONE_PASS", 0)
    monkeypatch.setattr(blocking, "CELLS", 0)
    monkeypatch.setattr(blocking, "ENCODED", encoded)
    monkeypatch.setattr(drawing, "width", lambda rows: 48)
    monkeypatch.setattr(columns, "CELLS", 1)
    compiled_epoch.cache_clear()
    blocked = train(CONFIG, made_fold())
    compiled_epoch.cache_clear()
    np.testing.assert_allclose(blocked.item_vectors, whole.item_vectors, atol=1e-5)
    for name in ("loss", "masked"):
        assert np.isclose(blocked.history[0][name], whole.history[0][name], rtol=1e-5)
