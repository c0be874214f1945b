import numpy as np
import pytest

from research.evaluate.record import bands


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([6, 5, 4, 3, 2, 1], [0, 0, 1, 2, 2, 2]),  # before: 0 6 | 11 | 15 18 20 of 21
        ([3, 3, 3], [0, 0, 0]),  # equals stay together, on the popular side
        ([2, 1, 1, 1, 1], [0, 1, 1, 1, 1]),  # the ones start at 2/6
        ([7, 1, 1], [0, 2, 2]),  # one item holds both cuts: no torso
        ([1, 1, 0, 0], [0, 0, 2, 2]),  # never clicked is tail
        ([0, 0], [2, 2]),  # no clicks at all
    ],
)
def test_bands_by_hand(counts, expected):
    assert bands(np.array(counts)).tolist() == expected


def test_bands_are_decided_by_the_clicks_on_strictly_more_popular_items():
    counts = np.random.default_rng(0).zipf(1.6, size=200).clip(max=500) - 1
    total = sum(counts.tolist())
    for count, band in zip(counts.tolist(), bands(counts).tolist(), strict=True):
        before = sum(c for c in counts.tolist() if c > count)
        if count == 0 or 3 * before >= 2 * total:
            assert band == 2
        elif 3 * before >= total:
            assert band == 1
        else:
            assert band == 0
    assert len(set(bands(counts).tolist())) == 3


def test_order_of_the_items_does_not_matter():
    counts = np.random.default_rng(1).integers(0, 9, size=60)
    mixed = np.random.default_rng(2).permutation(60)
    np.testing.assert_array_equal(bands(counts)[mixed], bands(counts[mixed]))
