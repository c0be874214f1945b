"""Matrix factorisations by the package implicit, on one thread so that seeds repeat."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy import sparse

from research.baselines import Values
from research.baselines.items import clicks_of
from research.evaluate.top_k import Scorer, dot_product
from research.positives import log_share
from research.types import Fold

Params = dict[str, Array]


def in_batches(columns: tuple[np.ndarray, ...], batch: int) -> tuple[np.ndarray, ...]:
    """Each column [n, ...] as [steps, batch, ...], without an incomplete last batch.

    A batch larger than n becomes one of n.
    """
    n = len(columns[0])
    batch = min(batch, n)
    steps = n // batch
    return tuple(
        c[: steps * batch].reshape(steps, batch, *c.shape[1:]) for c in columns
    )


def descend(
    loss: Callable[..., Float[Array, ""]],
    params: Params,
    epochs: Iterable[tuple[np.ndarray, ...]],
    learning_rate: float,
    *fixed: Any,
) -> dict[str, np.ndarray]:
    """Parameters after one step of Adam [kingma2015] per batch of each epoch.

    Returns:
      the parameters by name, as NumPy arrays.
    """
    with jax.numpy_dtype_promotion("standard"):
        carry = (params, optax.adam(learning_rate).init(params))
    for columns in epochs:
        carry = _epoch(loss, carry, columns, jnp.float32(learning_rate), fixed)
    return {name: np.asarray(value) for name, value in carry[0].items()}


@functools.partial(jax.jit, static_argnums=0)
def _epoch(
    loss: Callable[..., Any], carry: Any, columns: Any, rate: Array, fixed: Any
) -> Any:
    """Scans over the epoch's batches; compiled once per loss and shape."""

    def step(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        grads = jax.grad(loss)(params, batch, *fixed)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optax.adam(rate).update(grads, state)
            return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, carry, columns)[0]


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
