"""SLIM: each item from few others, by an elastic net a column (scikit-learn's)."""

import warnings

import numpy as np
from scipy import sparse

from research.baselines.entry import Baseline, Option, Values
from research.baselines.linear import clicks_of, sum_over_clicks
from research.evaluate.scorers import Scorer
from research.types import Fold

__all__ = ["SLIM", "slim", "sparse_weights"]

SWEEPS = 100  # over the coordinates of a column, at most
TOLERANCE = 1e-3


def sparse_weights(clicks: sparse.csr_array, l1: float, l2: float) -> sparse.csc_array:
    """Few non-negative weights that rebuild each item's clicks from the others'.

    W minimises |X - X W|^2 / 2 + l2 |W|^2 / 2 + l1 |W|_1 with W >= 0, diag(W) = 0
    [ning2011, eq. 3]. No difference from the paper. Coordinate descent on sparse
    columns, to a duality gap of 1e-3 of each column's own clicks.

    Args:
      clicks: X [users, items], 0 or 1.
      l1: strength of what makes weights few.
      l2: strength of the ridge penalty.

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
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for j in range(n_items):
            own = slice(columns.indptr[j], columns.indptr[j + 1])
            target = np.zeros(n_users)
            target[columns.indices[own]] = 1.0
            kept = columns.data[own].copy()
            columns.data[own] = 0.0  # an item doesn't explain itself
            net.fit(columns, target)
            columns.data[own] = kept
            found.append(sparse.csc_array(net.coef_[:, None]))
    return sparse.hstack(found, format="csc")


def slim(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """SLIM on the fold's fitted part: score(u, i) = sum of W_ji over u's clicks j.

    Args:
      fold: the phase.
      options: l1 and l2.
      seed: not used.
    """
    weights = sparse_weights(clicks_of(fold), options["l1"], options["l2"])
    return sum_over_clicks(fold, weights)


SLIM = Baseline(
    slim,
    {
        "l1": Option(2.0, "strength of the L1 penalty", above=True),
        "l2": Option(30.0, "strength of the L2 penalty"),
    },
)
