"""Lists of items compared up to near ties, which rounding may break either way."""

import numpy as np


def assert_same_lists(
    lists: np.ndarray, expected: np.ndarray, scores: np.ndarray, within: float = 1e-5
) -> None:
    """Each place holds the expected item, or one that scores nearly the same.

    Which of two items with nearly equal scores comes first is up to the last bits, and
    those differ between processors.

    Args:
        lists: items by user and place, [u, k]; the number of items is an empty slot.
        expected: the same lists made in another way, [u, k].
        scores: score of each user and item, [u, i]; minus infinity where an item must
            not be shown.
        within: how far apart nearly equal scores are, absolute and relative.
    """
    assert lists.shape == expected.shape
    there = [row[row < scores.shape[1]] for row in lists]
    assert all(len(np.unique(row)) == len(row) for row in there), "an item comes twice"
    empty = np.full((len(scores), 1), -np.inf)
    wide = np.concatenate([scores, empty], axis=1)
    ours, theirs = (np.take_along_axis(wide, x, axis=1) for x in (lists, expected))
    np.testing.assert_allclose(ours, theirs, rtol=within, atol=within)
