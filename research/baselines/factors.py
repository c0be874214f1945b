"""Matrix factorisations of the library implicit, on one thread: a seed repeats."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy import sparse

from research.baselines.entry import Baseline, Option, Values
from research.baselines.linear import clicks_of
from research.evaluate.top_k import Scorer, dot_product
from research.positives import log_share
from research.types import Fold

__all__ = ["BPR_MF", "IALS", "bpr_mf", "descend", "ials", "in_batches"]

Params = dict[str, Array]


def in_batches(columns: tuple[np.ndarray, ...], batch: int) -> tuple[np.ndarray, ...]:
    """Each column [n, ...] as [steps, batch, ...]; a tail that fills none is dropped.

    A batch larger than n is one of n.
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
    """Params after a step of Adam [kingma2015] for each row of each epoch's columns.

    Args:
      loss: (params, columns of a batch, *fixed) -> what is to fall.
      params: where it starts.
      epochs: columns [steps, batch, ...] of each epoch, all of one shape.
      learning_rate: size of a step.
      fixed: arrays that the loss reads and nothing moves.
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
    """A scan over the epoch's batches, compiled once a loss and shape."""

    def step(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        grads = jax.grad(loss)(params, batch, *fixed)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optax.adam(rate).update(grads, state)
            return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, carry, columns)[0]


def ials(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Alternating least squares on all cells, clicked ones weighing alpha [hu2008].

    Minimises sum over all (u, i) of c_ui (p_ui - <x_u, y_i>)^2 + regularization
    (|X|^2 + |Y|^2), p = 1 and c = alpha where clicked, else p = 0 and c = 1.

    Args:
      fold: the phase.
      options: factors, iterations, regularization, alpha.
      seed: of the initial values.

    Returns:
      a scorer of fold.evaluated.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    return _fitted(
        fold,
        AlternatingLeastSquares,
        None,
        factors=int(options["factors"]),
        regularization=options["regularization"],
        alpha=options["alpha"],
        iterations=int(options["iterations"]),
        random_state=seed,
    )


def bpr_mf(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Matrix factorisation by pairwise ranking, with an item bias [rendle2009].

    Stochastic steps up log sigmoid(s_ui - s_uj) for a click i and an item j that u
    did not click. Differs from the paper: j is drawn by its clicks, not uniformly, so
    that s_ui tends to log p(i | u) - log q_i, as with in-batch negatives; prior * log q
    is added back when ranking.

    Args:
      fold: the phase.
      options: factors, iterations, learning_rate, regularization, prior.
      seed: of the initial values and draws.

    Returns:
      a scorer of fold.evaluated.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    clicks = np.bincount(fold.fitted.item, minlength=fold.fitted.n_items)
    return _fitted(
        fold,
        BayesianPersonalizedRanking,
        options["prior"] * log_share(clicks),
        factors=int(options["factors"]),
        learning_rate=options["learning_rate"],
        regularization=options["regularization"],
        iterations=int(options["iterations"]),
        random_state=seed,
    )


def _fitted(
    fold: Fold,
    kind: Callable[..., Any],
    bias: Float[np.ndarray, " i"] | None,
    **options: Any,
) -> Scorer:
    """Fits a model of implicit; its bias, if any, is a column of its factors."""
    from threadpoolctl import threadpool_limits

    clicks = sparse.csr_matrix(clicks_of(fold), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        model = kind(**options, num_threads=1)
        model.fit(clicks, show_progress=False)
    users: Float[np.ndarray, "u d"] = model.user_factors
    return dot_product(users[fold.evaluated], model.item_factors, bias)


IALS = Baseline(
    ials,
    {
        "factors": Option(256, "length of a vector", least=1, whole=True),
        "iterations": Option(15, "rounds over users and items", least=1, whole=True),
        "regularization": Option(15.0, "L2 penalty of a vector"),
        "alpha": Option(3.0, "weight of a clicked cell", above=True),
    },
    seeded=True,
)
BPR_MF = Baseline(
    bpr_mf,
    {
        "factors": Option(32, "length of a vector", least=1, whole=True),
        "iterations": Option(400, "passes over the clicks", least=1, whole=True),
        "learning_rate": Option(0.01, "size of a step", above=True),
        "regularization": Option(0.03, "L2 penalty of what a step moves"),
        "prior": Option(1.0, "of log q when ranking"),
    },
    seeded=True,
)
