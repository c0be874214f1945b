"""Made folds: small, with every odd case in them."""

import numpy as np

from research.types import CATEGORIES, Column, Events, Fold, Table, check


def events(pairs: list[tuple[int, int]], n_users: int, genres: np.ndarray) -> Events:
    """Events of (user, item) pairs, in the order given within a user."""
    pairs = sorted(pairs, key=lambda pair: pair[0])
    user = np.array([u for u, _ in pairs], np.int32)
    n_items, e = len(genres), len(pairs)
    names = tuple(f"genre {g}" for g in range(genres.shape[1]))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=n_users))))
    return check(
        Events(
            user=user,
            item=np.array([i for _, i in pairs], np.int32),
            rating=np.full(e, 5.0, np.float32),
            timestamp=np.arange(e),
            order=np.arange(e),
            offsets=offsets,
            users=Table(np.arange(n_users) + 1, {}),
            items=Table(
                np.arange(n_items) + 1,
                {"genres": Column(CATEGORIES, genres, names)},
            ),
        )
    )


def fold_of(
    fitted: list[tuple[int, int]],
    held: list[tuple[int, int]],
    n_users: int,
    genres: np.ndarray,
) -> Fold:
    """A fold of (user, item) pairs."""
    held = sorted(held, key=lambda pair: pair[0])
    both = {u for u, _ in fitted} & {u for u, _ in held}
    return check(
        Fold(
            fitted=events(fitted, n_users, genres),
            held_user=np.array([u for u, _ in held], np.int32),
            held_item=np.array([i for _, i in held], np.int32),
            evaluated=np.array(sorted(both), np.int64),
        )
    )


def random_fold(n_users: int = 40, n_items: int = 150, seed: int = 0) -> Fold:
    """Skewed clicks; never-clicked items, items without genre, users not evaluated."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, n_items + 1)
    share[-5:] = 0.0  # never clicked
    share = rng.permutation(share / share.sum())
    fitted, held = [], []
    for user in range(n_users):
        n = int(rng.integers(2, n_items // 2))
        items = rng.choice(n_items, size=n, replace=False, p=share).tolist()
        cut = [0, n, int(0.8 * n)][min(user, 2)]  # user 0 all held, user 1 all fitted
        fitted += [(user, i) for i in items[:cut]]
        held += [(user, i) for i in items[cut:]]
    genres = rng.random((n_items, 6)) < 0.3
    genres[rng.choice(n_items, size=n_items // 10, replace=False)] = False
    return fold_of(fitted, held, n_users, genres)
