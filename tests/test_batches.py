"""Batches of an epoch, and the named streams that they come from."""

import jax
import numpy as np
import pytest

from research.batches import epoch_batches
from research.rng import generator, root, stream
from research.types import InputError


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (12, 4), (7, 7), (100, 1)])
def test_each_pair_comes_up_at_most_once_and_only_the_tail_is_dropped(n, batch):
    index = epoch_batches(n, batch, seed=0, epoch=1)
    assert index.shape == (n // batch, batch)
    flat = index.ravel().tolist()
    assert len(set(flat)) == len(flat) > n - batch
    assert set(flat) <= set(range(n))


def test_every_pair_comes_up_over_the_epochs():
    seen = [epoch_batches(10, 3, seed=0, epoch=e).ravel() for e in range(20)]
    assert set(np.concatenate(seen).tolist()) == set(range(10))


def test_a_shuffle_belongs_to_its_seed_and_epoch():
    def of(seed: int, epoch: int) -> list[int]:
        return epoch_batches(50, 5, seed, epoch).ravel().tolist()

    assert of(0, 1) == of(0, 1)
    assert of(0, 1) != of(0, 2)
    assert of(0, 1) != of(1, 1)
    assert of(0, 1) != of(1, 0)


def test_a_batch_larger_than_the_part_is_bad_input():
    with pytest.raises(InputError, match=r"batch 11 is larger .*10 pairs"):
        epoch_batches(10, 11, seed=0, epoch=0)


def test_streams_are_told_apart_by_name_and_by_seed():
    key = root(0)
    draws = {
        (seed, name): float(jax.random.uniform(stream(root(seed), name)))
        for seed in (0, 1)
        for name in ("init", "dropout", "0 uniform", "1 uniform")
    }
    assert len(set(draws.values())) == len(draws)
    assert float(jax.random.uniform(stream(key, "init"))) == draws[0, "init"]


def test_host_streams_are_told_apart_by_name_seed_and_index():
    cases = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0, "a", 2)]
    values = [generator(*case).random() for case in cases]
    assert len(set(values)) == len(values)
    assert generator(0, "a", 2).random() == values[-1]


def test_batches_through_time_are_shuffled_within_a_window_only():
    window = np.random.default_rng(0).integers(0, 9, 1000)
    first, second = (epoch_batches(1000, 64, 0, epoch, window) for epoch in (1, 2))
    for batches in (first, second):
        assert batches.shape == (15, 64)
        assert (np.diff(window[batches.ravel()]) >= 0).all()
        assert len(np.unique(batches)) == batches.size
    assert not np.array_equal(first, second)
    # What is left over is cut at both ends: the latest pairs aren't always missing.
    drawn = [window[epoch_batches(1000, 64, 0, epoch, window)] for epoch in range(20)]
    latest = [int((batches == 8).sum()) for batches in drawn]
    assert min(latest) > 0
    assert max(latest) > min(latest)
