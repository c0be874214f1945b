"""What the negatives look like, and how far stored vectors drift."""

import dataclasses

import numpy as np
import pytest

from experiments.studies.probe.negatives import (
    band_shares,
    drift,
    sample_sources,
)
from research.config import Config
from research.prepare import prepare
from research.train.run_state import init_state
from tests.world import made_fold


@pytest.fixture(scope="module")
def looked():
    fold = made_fold()
    config = Config(dim=8, user_hidden=(8,), item_hidden=(8,), batch=64)
    config = dataclasses.replace(
        config, negatives=("in-batch", "uniform:63", "uniform-per-row:8")
    )
    run = prepare(config, fold)
    config, (world, sizes) = run.config, run.world
    model = run.model
    params = init_state(run, world, sizes).params
    counts = np.asarray(world.pool.counts).astype(int)
    return sample_sources(config, model, params, world), counts


def test_in_batch_is_head_and_uniform_is_the_library(looked):
    found, counts = looked
    library = band_shares(np.ones_like(counts), counts)
    in_batch = band_shares(found["in-batch"].counts, counts)
    uniform = band_shares(found["uniform:63"].counts, counts)
    per_row = band_shares(found["uniform-per-row:8"].counts, counts)
    clicks = band_shares(counts, counts)
    np.testing.assert_allclose(in_batch, clicks, atol=0.03)
    np.testing.assert_allclose(uniform, library, atol=0.06)
    np.testing.assert_allclose(per_row, library, atol=0.03)
    assert in_batch[0] > 2 * uniform[0]


def test_what_is_never_clicked_is_never_an_in_batch_negative(looked):
    found, counts = looked
    assert not found["in-batch"].counts[counts == 0].any()
    assert (found["in-batch"].counts > 0).sum() <= (counts > 0).sum()
    assert 0 <= found["in-batch"].above <= 1


def test_a_frozen_model_does_not_drift():
    vectors = np.broadcast_to(np.random.default_rng(0).normal(size=(4, 3)), (5, 4, 3))
    assert drift(vectors, 2).tolist() == [0.0, 0.0, 0.0]


def test_drift_grows_with_the_lag_of_a_steady_walk():
    vectors = np.arange(6.0)[:, None, None] * np.ones((1, 4, 1))
    assert drift(vectors, 1).tolist() == [1.0] * 5
    assert drift(vectors, 3).tolist() == [3.0] * 3


def test_a_lag_that_has_no_snapshot_is_refused():
    with pytest.raises(ValueError, match="lag 5"):
        drift(np.zeros((5, 2, 2)), 5)
