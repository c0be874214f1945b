"""The two users whose lists the page shows."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray

SHARES = (0.5, 0.9)  # of the users, who have no more held-out positives


def shown_users(held: Int[ndarray, " v"]) -> list[int]:
    """One user with a usual number of held-out positives, and one with many.

    The median and the 90th percentile, rounded down; of all users with that number the
    first one and the last one, so that every run of a grid shows the same two.

    >>> shown_users(np.array([1, 2, 3, 4, 9, 2, 2, 2, 8, 7]))
    [1, 8]
    """
    if not len(held):
        return []
    usual, many = np.quantile(held, SHARES, method="lower")
    users = np.flatnonzero(held == usual)[0], np.flatnonzero(held == many)[-1]
    return [int(user) for user in dict.fromkeys(users)]
