"""Matrix factorisations by the package implicit, on one thread so that seeds repeat."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.baselines import Values
from research.baselines.items import clicks_of
from research.evaluate.top_k import Scorer, dot_product
from research.positives import log_share
from research.types import Fold


def ials(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Alternating least squares over all cells; clicked ones weigh alpha [hu2008].

    Minimises sum over all (u, i) of c_ui (p_ui - <x_u, y_i>)^2 + regularization
    (|X|^2 + |Y|^2), p = 1 and c = alpha where clicked, else p = 0 and c = 1. Differs
    from the paper: there c = 1 + alpha where clicked, so that its alpha is one less;
    and a round takes three steps of conjugate gradients instead of solving exactly.

    Returns:
      a scorer of fold.evaluated.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    return _fitted(fold, AlternatingLeastSquares, options, seed)


def bpr_mf(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Matrix factorisation by pairwise ranking, with an item bias [rendle2009].

    Stochastic gradient ascent on log sigmoid(s_ui - s_uj) for a click i and an item j
    that u did not click. Differs from the paper: j is drawn in proportion to its
    clicks, not uniformly, so that s_ui tends to log p(i | u) - log q_i, as with
    in-batch negatives; prior * log q is added back when ranking.

    Returns:
      a scorer of fold.evaluated.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    bias = options["prior"] * log_share(fold.fitted.item_counts)
    of_model = {name: value for name, value in options.items() if name != "prior"}
    return _fitted(fold, BayesianPersonalizedRanking, of_model, seed, bias)


def _fitted(
    fold: Fold,
    kind: Callable[..., Any],
    options: Values,
    seed: int,
    bias: Float[np.ndarray, " i"] | None = None,
) -> Scorer:
    """Scores of a model of implicit fitted by its options, plus a bias of the item."""
    from threadpoolctl import threadpool_limits

    clicks = sparse.csr_matrix(clicks_of(fold), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        counts = {name: int(options[name]) for name in ("factors", "iterations")}
        model = kind(**{**options, **counts}, random_state=seed, num_threads=1)
        model.fit(clicks, show_progress=False)
    users: Float[np.ndarray, "u d"] = model.user_factors
    return dot_product(users[fold.evaluated], model.item_factors, bias)
