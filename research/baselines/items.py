"""Item models: chance, popularity, and sums of item weights over a user's clicks."""

import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.baselines import Values
from research.evaluate.top_k import Scorer
from research.rng import RANDOM_SALT, pair_hash
from research.types import Fold, InputError

DAY = 86_400  # seconds
SWEEPS = 100  # of SLIM over the coordinates of a column, at most
BLOCK = 512  # of EASE: items that are swept at once
COLUMNS = 256  # items whose co-clicks with all others are dense at once
TOLERANCE = 1e-3  # of SLIM: the duality gap over a column's clicks


def uniform(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores every item at random: what chance reaches in any metric.

    Each user has lists of their own. A score is a hash of seed, user and item, so it
    depends on nothing else.
    """
    user, item = fold.fitted.users.id[fold.evaluated], fold.fitted.items.id

    def scores(users: slice, items: slice) -> Float[np.ndarray, "t c"]:
        rows, columns = np.meshgrid(user[users], item[items], indexing="ij")
        bits = pair_hash(rows.ravel(), columns.ravel(), RANDOM_SALT + seed)
        # 53 bits: as many as float64 holds exactly
        return (bits >> np.uint64(11)).astype(np.float64).reshape(rows.shape)

    return scores


def popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the training part, the same for every user.

    Equal counts are ranked by index, which is a hash of the item, so neither age nor
    place in a file decides.

    Returns:
      a scorer of fold.evaluated; float64, as float32 is not exact above 2^24.
    """
    return _same_for_all(fold.fitted.item_counts.astype(np.float64))


def recent_popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the last days of the training part [ji2020].

    Items with equally many are ranked by all their clicks. All users share one window,
    which ends with the last training click of any user; with a per-user split that is
    later than most users' last click.
    """
    fitted, every = fold.fitted, fold.fitted.item_counts
    recent = fitted.timestamp > fitted.timestamp.max() - options["days"] * DAY
    counts = np.bincount(fitted.item[recent], minlength=fitted.n_items)
    # less than one recent click, so it only settles ties
    return _same_for_all(counts + every / (every.sum() + 1.0))


def _same_for_all(value: Float[np.ndarray, " i"]) -> Scorer:
    def scores(users: slice, items: slice) -> Float[np.ndarray, "t c"]:
        return np.tile(value[items], (users.stop - users.start, 1))

    return scores


def clicks_of(fold: Fold) -> sparse.csr_array:
    """Click matrix X [users, items], float64: 1 for one or more clicks, else 0."""
    fitted = fold.fitted
    clicks = sparse.csr_array(
        (np.ones(len(fitted.item)), (fitted.user, fitted.item)),
        shape=(fitted.n_users, fitted.n_items),
    )
    clicks.data[:] = 1.0
    return clicks


def sum_over_clicks(
    fold: Fold, weights: Float[np.ndarray, "i i"] | sparse.csc_array
) -> Scorer:
    """Scorer of fold.evaluated: the sum of weights[j, i] over u's clicked items j."""
    clicks = clicks_of(fold)[fold.evaluated]

    def scores(users: slice, items: slice) -> Float[np.ndarray, "t c"]:
        # sparse by dense adds up each user's rows in turn: no tile changes a bit
        of_users = clicks[users]
        if sparse.issparse(weights):
            return (of_users @ weights[:, items]).toarray()
        clicked = np.unique(of_users.indices)  # only their rows are copied
        return of_users[:, clicked] @ weights[clicked, items]

    return scores


def _co_clicks(
    clicks: sparse.csr_array,
) -> Iterator[tuple[slice, Float[np.ndarray, "i c"]]]:
    """Columns of X^T X, the users who clicked both items, COLUMNS at a time."""
    transposed, columns_of = clicks.T.tocsr(), clicks.tocsc()
    for start in range(0, clicks.shape[1], COLUMNS):
        tile = slice(start, min(start + COLUMNS, clicks.shape[1]))
        yield tile, (transposed @ columns_of[:, tile]).toarray()


def neighbour_weights(
    clicks: sparse.csr_array, shrink: float, neighbours: int
) -> sparse.csc_array:
    """Similarities n_ij / (sqrt(n_i n_j) + shrink) of each item's nearest neighbours.

    n_ij users clicked both. Own code: implicit has the cosine without shrinkage, which
    makes an item with one click as similar to its neighbours as one with many
    [sarwar2001; dacrema2019, section 3.2]. Dense are the similarities to COLUMNS scored
    items at a time. Computed as (n_ij a_i) a_j / (1 + shrink a_i a_j), a = 1 / sqrt(n),
    which rounds as a product with diagonal matrices does: rounding decides which sums
    over a user's clicks are equal, and so the sixth digit of a metric.

    Returns:
      weights [clicked item, scored item]: column i holds the neighbours of i.

    >>> X = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    >>> neighbour_weights(X, shrink=1.0, neighbours=1).toarray().round(3).tolist()
    [[0.0, 0.667, 0.414], [0.667, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    # an item without a click has no neighbour, so its factor does not matter
    factor = 1 / np.sqrt(np.maximum(clicks.sum(axis=0), 1.0))
    tiles = []
    for tile, both in _co_clicks(clicks):
        alike = both * factor[:, None] * factor[tile]
        if shrink:
            alike /= 1 + shrink * np.outer(factor, factor[tile])
        np.fill_diagonal(alike[tile], 0.0)
        if neighbours < len(alike):
            nearest = np.argsort(-alike, axis=0, kind="stable")[neighbours:]
            np.put_along_axis(alike, nearest, 0.0, axis=0)
        tiles.append(sparse.csc_array(alike))
    return sparse.hstack(tiles, format="csc")


def item_knn(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Item-kNN: the summed similarity of i to its neighbours that u clicked."""
    shrink, neighbours = options["shrink"], int(options["neighbours"])
    return sum_over_clicks(fold, neighbour_weights(clicks_of(fold), shrink, neighbours))


def item_weights(
    clicks: sparse.csr_array, l2: float = 100.0
) -> Float[np.ndarray, "i i"]:
    """EASE weights B, which predict each user's clicks from the user's other clicks.

    B minimises |X - X B|^2 + l2 |B|^2 with diag(B) = 0, X [u, i] the clicks:
    P = (X^T X + l2 I)^-1, B = I - P diag(1 / diag P)  [steck2019, eq. 8]. No
    difference from the paper. P takes the place of X^T X + l2 I: 8 i^2 bytes, i^3
    operations, float64.

    Raises:
      InputError: l2 is not a finite number above 0, or too small beside the clicks.

    >>> X = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]]))
    >>> item_weights(X, l2=1.0).round(6).tolist()  # 1 / (2 + l2), 1 / (1 + l2)
    [[0.0, 0.333333], [0.5, 0.0]]
    """
    if not 0 < l2 < np.inf:
        raise InputError(f"l2 = {l2:g}: EASE needs a finite penalty above 0")
    weights = np.empty((clicks.shape[1],) * 2)
    for tile, both in _co_clicks(clicks):
        weights[tile] = both.T
    weights[np.diag_indices_from(weights)] += l2
    try:
        _invert(weights)
    except np.linalg.LinAlgError as error:
        reason = "too small for EASE on these clicks in float64"
        raise InputError(f"l2 = {l2:g}: {reason}") from error
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0.0)
    return weights


def _invert(matrix: Float[np.ndarray, "i i"]) -> None:
    """Puts the inverse in the place of a symmetric positive definite matrix.

    Blocks are swept in turn [goodnight1979]. Only the lower half is kept up to date:
    half the operations of np.linalg.inv, which also holds three matrices more. LAPACK's
    dpotrf and dpotri would do the same, but with 17,000 items dpotrf was seen to end
    the process (SciPy 1.17.1, OpenBLAS 0.3.30).

    Raises:
      LinAlgError: it is not positive definite.
    """
    n = len(matrix)
    blocks = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    for block in blocks:
        np.linalg.cholesky(matrix[block, block])  # only to refuse
        pivot = np.linalg.inv(matrix[block, block])
        column = np.concatenate(
            [matrix[block, : block.start].T, matrix[block.start :, block]]
        )
        scaled = column @ pivot
        for rows in blocks:
            matrix[rows, : rows.stop] -= scaled[rows] @ column[: rows.stop].T
        matrix[:, block], matrix[block, : block.start] = scaled, scaled[: block.start].T
        matrix[block, block] = -pivot
    for block in blocks:
        matrix[block, block.stop :] = matrix[block.stop :, block].T
    np.negative(matrix, out=matrix)


def ease(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """EASE on the training part: score(u, i) is the sum of B_ji over u's clicks j.

    Returns:
      a scorer of fold.evaluated, float64.

    Raises:
      InputError: l2 is not a finite number above 0.
    """
    weights = item_weights(clicks_of(fold), options["l2"])
    return sum_over_clicks(fold, weights)


def sparse_weights(clicks: sparse.csr_array, l1: float, l2: float) -> sparse.csc_array:
    """SLIM weights W: sparse, non-negative, predicting each item from the others.

    W minimises |X - X W|^2 / 2 + l2 |W|^2 / 2 + l1 |W|_1 with W >= 0, diag(W) = 0
    [ning2011, eq. 3]. No difference from the paper. Coordinate descent on sparse
    columns, to a duality gap of 1e-3 of each column's own clicks.

    Returns:
      W [clicked item, scored item].
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet

    columns = sparse.csc_matrix(clicks)
    n_users, n_items = columns.shape
    net = ElasticNet(
        alpha=(l1 + l2) / n_users,
        l1_ratio=l1 / (l1 + l2),
        positive=True,
        fit_intercept=False,
        copy_X=False,
        max_iter=SWEEPS,
        tol=TOLERANCE,
    )
    weights = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for j in range(n_items):
            column = slice(columns.indptr[j], columns.indptr[j + 1])
            target = np.zeros(n_users)
            target[columns.indices[column]] = 1.0
            values = columns.data[column].copy()
            columns.data[column] = 0.0  # an item doesn't explain itself
            net.fit(columns, target)
            columns.data[column] = values
            weights.append(sparse.csc_array(net.coef_[:, None]))
    return sparse.hstack(weights, format="csc")


def slim(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """SLIM on the training part: score(u, i) is the sum of W_ji over u's clicks j."""
    weights = sparse_weights(clicks_of(fold), options["l1"], options["l2"])
    return sum_over_clicks(fold, weights)
