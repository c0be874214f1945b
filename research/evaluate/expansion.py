"""Interest expansion: what is recommended, and found, outside a user's own genres.

Conventions as in ``record``; ``g`` genres. A genre is *foreign* to a user where it
makes up less than 5 % of the genres of the user's fitted positives, each positive
counted once in each of its genres. That includes every genre the user never touched.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from research.evaluate.top_k import seen_items_of
from research.types import Fold

__all__ = ["RARE", "foreign_genres", "is_expansion", "outside_share"]

RARE = 0.05  # of MovieLens's 18 genres, equal shares would be 5.6 % each


def foreign_genres(fold: Fold) -> Bool[np.ndarray, "v g"] | None:
    """The genres foreign to each evaluated user; None where no item has a genre.

    With c_ug the user's fitted positives of genre g: c_ug < 0.05 sum_g c_ug, or
    c_ug = 0.
    """
    genres = fold.fitted.items.genres
    if not genres.any():
        return None
    offsets, items = seen_items_of(fold)
    n_users = len(offsets) - 1
    user = np.repeat(np.arange(n_users), np.diff(offsets))
    # a genre at a time: [v, g] is small, a row of genres for each event is not
    counts = [
        np.bincount(user[genres[items, g]], minlength=n_users)
        for g in range(genres.shape[1])
    ]
    profile = np.stack(counts, axis=1)
    return (profile < RARE * profile.sum(axis=1, keepdims=True)) | (profile == 0)


def is_expansion(
    genres: Bool[np.ndarray, "i g"],
    foreign: Bool[np.ndarray, "v g"] | None,
    user: Int[np.ndarray, " h"],
    item: Int[np.ndarray, " h"],
) -> UInt8[np.ndarray, " h"] | None:
    """1 where the item has a genre and all its genres are foreign to the user, else 0.

    None where ``foreign`` is: absent, not zero.

    >>> genres = np.array([[True, False], [True, True], [False, False]])
    >>> foreign, user = np.array([[True, False]]), np.zeros(3, int)
    >>> is_expansion(genres, foreign, user, np.arange(3)).tolist()
    [1, 0, 0]
    """
    if foreign is None:
        return None
    of_item = genres[item]
    familiar = (of_item & ~foreign[user]).any(axis=1)
    return (of_item.any(axis=1) & ~familiar).astype(np.uint8)


def outside_share(
    genres: Bool[np.ndarray, "i g"],
    foreign: Bool[np.ndarray, "v g"] | None,
    shown: Int[np.ndarray, "v k"],
    filled: Bool[np.ndarray, "v k"],
) -> Float[np.ndarray, " v"] | None:
    """The share of a list's genres, counted slot by slot, that are foreign to its user.

    An item of two genres counts twice, one without a genre not at all; NaN where no
    item of the list has a genre. None where ``foreign`` is.

    >>> genres, foreign = np.eye(2, dtype=bool), np.array([[True, False]])
    >>> lists = np.array([[0, 1, 1, 0]])
    >>> outside_share(genres, foreign, lists, np.array([[True, True, True, False]]))
    array([0.33333333])
    """
    if foreign is None:
        return None
    n_users, n_genres = foreign.shape
    counts = np.zeros((n_users, n_genres))
    for slot in range(shown.shape[1]):  # never [v, k, g]
        counts += genres[shown[:, slot]] & filled[:, slot, None]
    total = counts.sum(axis=1)
    outside = np.where(foreign, counts, 0.0).sum(axis=1)
    return np.where(total > 0, outside / np.maximum(total, 1), np.nan)
