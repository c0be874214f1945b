"""What the stages from ids to a loss must give, each worked out in another way.

An oracle is a function without arguments that raises AssertionError where the code is
wrong. The tests call each on the code as it is, and on each mutant of it.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research import losses as registry
from research.config import Config
from tests.negatives.small import CLICKED, LAWS, hyper_of, logits_of, pool_of

BATCH, ITEMS, DIM = 4, 6, 3
TEMPERATURE = 0.25
CANDIDATE = [0, 3, 0, 5]  # rows 0 and 2 share their positive
UNIFORM = np.array([1, 0, 3, 3, 5])

_draw = np.random.default_rng(7)
QUERY = _draw.normal(0, 0.5, (BATCH, DIM)).astype(np.float32)
VECTORS = _draw.normal(0, 0.5, (ITEMS, DIM)).astype(np.float32)


def config_of(*sources: str, **changes: Any) -> Config:
    return Config(
        batch=BATCH,
        negatives=sources,
        **{"logq": 1.0, "temperature": TEMPERATURE, "dim": DIM, **changes},
    )


def losses(config: Config, ids: tuple[np.ndarray, ...]) -> np.ndarray:
    """The code's: softmax losses of the made rows."""
    value = logits_of(config, QUERY, VECTORS, CANDIDATE, ids, pool_of(CLICKED))
    fn = registry.LOSSES["sampled-softmax"].fn
    return np.asarray(fn(*value, hyper_of(config)))


def by_loops(config: Config, same_item: bool = False) -> list[float]:
    """In-batch and uniform columns in one softmax, in math: one row after the other."""
    draws = {"in-batch": BATCH - 1, "uniform": len(UNIFORM)}
    law = sum(n * LAWS[name](CLICKED, config) for name, n in draws.items())
    q = [float(x) / sum(draws.values()) for x in law]

    def z(row: int, item: int) -> float:
        score = sum(float(a) * float(b) for a, b in zip(QUERY[row], VECTORS[item]))
        return score / TEMPERATURE - config.logq * math.log(q[item])

    found = []
    for row, positive in enumerate(CANDIDATE):
        others = [item for other, item in enumerate(CANDIDATE) if other != row]
        seen = others + UNIFORM.tolist()
        if same_item:
            seen = [item for item in seen if item != positive]
        total = math.exp(z(row, positive)) + sum(math.exp(z(row, i)) for i in seen)
        found.append(math.log(total) - z(row, positive))
    return found


def mixture_by_loops() -> None:
    config = config_of("in-batch", f"uniform:{len(UNIFORM)}")
    found = losses(config, (np.array(CANDIDATE), UNIFORM))
    np.testing.assert_allclose(found, by_loops(config), rtol=2e-5)


def masked_mixture_by_loops() -> None:
    config = config_of("in-batch", f"uniform:{len(UNIFORM)}", mask_same_item=True)
    found = losses(config, (np.array(CANDIDATE), UNIFORM))
    np.testing.assert_allclose(found, by_loops(config, same_item=True), rtol=2e-5)


def exact_softmax() -> None:
    """With the whole catalogue the loss is -log softmax of the scores."""
    scores = np.asarray(QUERY @ VECTORS.T, np.float64) / TEMPERATURE
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    share = shifted / shifted.sum(axis=1, keepdims=True)
    expected = -np.log(share[np.arange(BATCH), CANDIDATE])
    found = losses(config_of("catalogue"), (np.arange(ITEMS),))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


SCORES = _draw.normal(0, 1.0, (2, ITEMS))  # of two users, over the temperature
SCORES -= np.log(np.exp(SCORES).sum(axis=1, keepdims=True))  # the truth: log p(y | u)


def expected_gradient(
    draws: dict[str, int], alike: bool = True, **changes: Any
) -> np.ndarray:
    """E of d loss / d score over all positives and all independent draws, [u, i].

    draws: how many of each source; each row draws its own. alike: every column is drawn
    by the law of the union; else a source's own columns by that source's.
    """
    names = {"popularity": "popularity", "uniform": "uniform-per-row"}
    config = config_of(*(f"{names[s]}:{n}" for s, n in draws.items()), **changes)
    laws = [LAWS[s](CLICKED, config) for s, n in draws.items() for _ in range(n)]
    if alike:
        laws = [np.mean(laws, axis=0)] * len(laws)
    every = np.array(list(itertools.product(range(ITEMS), repeat=len(laws))))
    weight = np.prod([law[every[:, k]] for k, law in enumerate(laws)], axis=0)
    candidate = np.repeat(np.arange(ITEMS), len(every))
    rows = np.tile(every, (ITEMS, 1))
    cuts = np.cumsum(list(draws.values()))[:-1]
    ids = tuple(np.split(rows, cuts, axis=1))
    loss = registry.LOSSES["sampled-softmax"].fn
    pool = pool_of(CLICKED)

    @jax.jit
    def gradient(scores: jax.Array) -> jax.Array:
        def total(rows: jax.Array) -> jax.Array:
            one_hot = jnp.eye(ITEMS)  # item vectors: a query's entries are its scores
            value = logits_of(config, rows, one_hot, candidate, ids, pool)
            return jnp.sum(loss(*value, hyper_of(config)))

        wide = jnp.tile(scores[None, :], (len(candidate), 1))
        return jax.grad(total)(wide * TEMPERATURE) * TEMPERATURE

    found = []
    for scores in SCORES:
        share = np.exp(scores)[candidate] * np.tile(weight, ITEMS)
        rows = np.asarray(gradient(jnp.asarray(scores, jnp.float32)), np.float64)
        found.append(share @ rows)
    return np.array(found)


def zero_at_the_truth() -> None:
    """Independent draws, no mask, every column corrected: no gradient at the truth."""
    assert np.abs(expected_gradient({"popularity": 2})).max() < 1e-6


def zero_at_the_truth_in_a_mixture() -> None:
    found = expected_gradient({"popularity": 1, "uniform": 2})
    assert np.abs(found).max() < 1e-6


ORACLES: dict[str, Callable[[], None]] = {
    "mixture by loops": mixture_by_loops,
    "masked mixture by loops": masked_mixture_by_loops,
    "exact softmax": exact_softmax,
    "zero at the truth": zero_at_the_truth,
    "zero at the truth in a mixture": zero_at_the_truth_in_a_mixture,
}
