"""Head, torso and tail of a catalogue, by fitted clicks."""

import numpy as np
from jaxtyping import Int, UInt8

from research.types import BANDS

__all__ = ["bands"]


def bands(item_counts: Int[np.ndarray, " i"]) -> UInt8[np.ndarray, " i"]:
    """The popularity band of each item: 0 head, 1 torso, 2 tail (types.BANDS).

    Items are put in order of fitted clicks, most first, and cut at 1/3 and 2/3 of the
    clicks (not of the items). Items with equal counts stay together: a band is decided
    by the clicks on strictly more popular items, band = floor(3 * those / all). So a
    group of equals that straddles a cut belongs whole to the more popular side, the
    head is never empty, and one item may empty the torso. Items without a click are
    tail.

    Args:
      item_counts: fitted clicks of each item, [i].

    >>> bands(np.array([0, 1, 2, 2, 4])).tolist()  # 4 | 2 2 | 1 of 9 clicks
    [2, 2, 1, 1, 0]
    """
    counts = item_counts.astype(np.int64)
    values, group = np.unique(counts, return_inverse=True)
    clicks = np.bincount(group, weights=counts, minlength=len(values)).astype(np.int64)
    total = clicks.sum()
    more_popular = total - np.cumsum(clicks)
    band = np.minimum(len(BANDS) * more_popular // max(total, 1), len(BANDS) - 1)
    band[values == 0] = len(BANDS) - 1
    return band[group].astype(np.uint8)
