"""The correction by log q: its switches by enumeration, and what it makes of the loss.

One oracle in plain math gives every logit of a row under every switch. That corrected
draws have no gradient at the truth is shown by enumerating the draws.
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.candidates import masked_share, split_blocks
from research.logits.correction import logits
from research.losses import LOSSES
from research.negatives.laws import hyper_of, pool_of
from research.negatives.source import Drawn
from tests.negatives.small import CLICKED, LAWS, blocks_of, logits_of, ready

BATCH, ITEMS, DIM = 4, 6, 3
POOL, SHARE = pool_of(CLICKED), CLICKED / CLICKED.sum()
CANDIDATE = [0, 3, 0, 5]  # rows 0 and 2 share their positive
UNIFORM = np.array([1, 0, 3, 3, 5])
OF_ROWS = np.array([[0, 1], [2, 3], [4, 5], [1, 1]])
DRAW = np.random.default_rng(7)
QUERY = DRAW.normal(0, 0.5, (BATCH, DIM)).astype(np.float32)
VECTORS = DRAW.normal(0, 0.5, (ITEMS, DIM)).astype(np.float32)
SOFTMAX = LOSSES["sampled-softmax"].fn
# What each source has drawn for the rows, and how many draws a row sees of it.
DRAWN = {
    "in-batch": (np.array(CANDIDATE), BATCH - 1),
    "uniform:5": (UNIFORM, 5),
    "popularity:5": (UNIFORM[::-1], 5),
    "uniform-per-row:2": (OF_ROWS, 2),
    "catalogue": (np.arange(ITEMS), ITEMS),
}
SWITCHES = ("correct_positive", "leave_own_out", "expected_count", "mask_same_item")
EVERY_SWITCH = list(itertools.product((True, False), repeat=len(SWITCHES)))


def config_of(*sources: str, **changes: Any) -> Config:
    return Config(
        batch=BATCH,
        negatives=sources,
        **{"logq": 1.0, "temperature": 0.25, "dim": DIM, **changes},
    )


def found_logits(config: Config) -> tuple[Any, Any]:
    ids = tuple(DRAWN[source][0] for source in config.negatives)
    return logits_of(config, QUERY, VECTORS, CANDIDATE, ids, POOL)


def by_hand(config: Config, row: int) -> tuple[float, list[float]]:
    """The positive's logit of a row, and those of its negatives in rising order."""
    sources, positive = config.negatives, CANDIDATE[row]
    distinct = config.duplicates == "inclusion"
    draws = [DRAWN[source][1] for source in sources]
    laws = [LAWS[source.partition(":")[0]](CLICKED, config) for source in sources]
    q = sum(n * law for n, law in zip(draws, laws, strict=True)) / sum(draws)
    if distinct:  # the probability to be drawn at all
        q = 1 - np.prod([(1 - law) ** n for n, law in zip(draws, laws)], axis=0)
    # A negative's q: Q / (1 - Q_p), times n where the count is what is expected, of
    # which a mask lets n (1 - Q_p) pass.
    others = 1 - q[positive] if config.leave_own_out else 1.0
    count = sum(draws) if config.expected_count else 1.0
    if config.expected_count and config.mask_same_item:
        count *= others
    of_row = count / others

    def z(item: int, corrected: float) -> float:
        score = math.fsum(
            float(a) * float(b) for a, b in zip(QUERY[row], VECTORS[item])
        )
        return score / config.temperature - config.logq * math.log(corrected)

    seen = []
    for source in sources:
        ids = DRAWN[source][0]
        columns = (ids if ids.ndim == 1 else ids[row]).tolist()
        if source == "in-batch":
            del columns[row]
        if source == "catalogue" or config.mask_same_item:
            columns = [item for item in columns if item != positive]
        seen += columns
    seen = list(set(seen)) if distinct else seen
    own = z(positive, q[positive] * of_row if config.correct_positive else 1.0)
    return own, sorted(z(item, q[item] * of_row) for item in seen)


def check(config: Config) -> None:
    own, dense = found_logits(config)
    for row in range(BATCH):
        positive, negatives = by_hand(config, row)
        assert math.isclose(float(own[row]), positive, rel_tol=2e-5, abs_tol=2e-5)
        kept = np.sort(np.asarray(dense.z[row])[np.asarray(dense.keep[row])])
        np.testing.assert_allclose(kept, negatives, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "sources",
    [
        ("in-batch",),
        ("catalogue",),
        ("in-batch", "uniform:5"),
        ("uniform-per-row:2", "popularity:5"),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("switches", EVERY_SWITCH, ids=str)
def test_every_logit_under_every_switch(sources, switches):
    """Also at half the strength, and at a temperature that a correction ignores."""
    changes = dict(zip(SWITCHES, switches, strict=True))
    for logq, temperature in ((1.0, 0.25), (0.4, 3.0), (0.0, 0.02)):
        check(config_of(*sources, logq=logq, temperature=temperature, **changes))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("sources", [("in-batch",), ("in-batch", "uniform:5")])
def test_every_logit_of_distinct_columns(sources, masked):
    """Each item once a row, at score / T - log P(the item is drawn at least once)."""
    check(config_of(*sources, duplicates="inclusion", mask_same_item=masked))


def test_distinct_columns_in_any_order_of_the_sources():
    """Of an item drawn twice a row keeps the copy that isn't its own column.

    The batch's own columns stand after others here.
    """
    check(config_of("uniform:5", "in-batch", duplicates="inclusion"))


@pytest.mark.parametrize("shape", [(), (2, 1), (1, 3), (2, 3)])
def test_temperatures_broadcast_and_nothing_does_so_silently(shape):
    temperature = np.linspace(0.2, 1.7, math.prod(shape)).reshape(shape)
    score, log_q = jnp.ones((2, 3)), jnp.log(jnp.array([0.5, 0.3, 0.2]))
    given = jnp.asarray(temperature, jnp.float32), jnp.float32(1.0)
    found = logits(score, *given, log_q[None, :])
    wide = np.broadcast_to(temperature, (2, 3))
    np.testing.assert_allclose(found, 1 / wide - np.asarray(log_q), rtol=1e-5)
    with pytest.raises(ValueError, match=r"rank_promotion|ranks"):
        logits(score, *given, log_q)


def test_with_the_whole_catalogue_the_loss_is_the_exact_softmax():
    scores = np.asarray(QUERY @ VECTORS.T, np.float64) / 0.25
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(share[np.arange(BATCH), CANDIDATE])
    config = config_of("catalogue")
    found = SOFTMAX(*found_logits(config), hyper_of(config))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_row_shift_cancels_where_all_of_a_row_has_it():
    def losses(**changes: bool) -> np.ndarray:
        config = config_of("in-batch", **changes)
        return np.asarray(SOFTMAX(*found_logits(config), hyper_of(config)))

    plain = losses()
    for name in ("leave_own_out", "expected_count"):
        np.testing.assert_allclose(losses(**{name: True}), plain, rtol=1e-4)
        alone = losses(**{name: True, "correct_positive": False})
        assert not np.allclose(alone, plain)


def test_the_weighted_loss_has_the_gradient_of_its_switches():
    """The form of 2025 is softmax with the positive uncorrected, Q / (1 - Q), 1 / n."""

    def gradient(loss: str, **changes: bool) -> np.ndarray:
        config = config_of("in-batch", mask_same_item=True, **changes)
        given = CANDIDATE, (np.array(CANDIDATE),), POOL

        def total(vectors: jax.Array) -> jax.Array:
            pair = logits_of(config, QUERY, vectors, *given)
            return jnp.sum(LOSSES[loss].fn(*pair, {}))

        return np.asarray(jax.grad(total)(jnp.asarray(VECTORS)))

    form = {"correct_positive": False, "leave_own_out": True, "expected_count": True}
    weighted = gradient("weighted-softmax", **form)
    softmax = gradient("sampled-softmax", **form)
    np.testing.assert_allclose(weighted, softmax, rtol=1e-4, atol=1e-6)
    assert np.abs(weighted - gradient("sampled-softmax")).max() > 1e-3


SCORES = DRAW.normal(0, 1.0, (2, ITEMS))  # of two users, over the temperature
SCORES -= np.log(np.exp(SCORES).sum(axis=1, keepdims=True))  # the truth: log p(y | u)


def expected_gradient(
    draws: dict[str, int], alike: bool = True, **changes: Any
) -> float:
    """The largest E of d loss / d score, over all positives and independent draws.

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
    cuts = np.cumsum(list(draws.values()))[:-1]
    ids = tuple(np.split(np.tile(every, (ITEMS, 1)), cuts, axis=1))

    @jax.jit
    def gradient(scores: jax.Array) -> jax.Array:
        def total(rows: jax.Array) -> jax.Array:
            one_hot = jnp.eye(ITEMS)  # item vectors: a query's entries are its scores
            value = logits_of(config, rows, one_hot, candidate, ids, POOL)
            return jnp.sum(SOFTMAX(*value, hyper_of(config)))

        wide = jnp.tile(scores[None, :], (len(candidate), 1))
        return jax.grad(total)(wide * 0.25) * 0.25

    found = []
    for scores in SCORES:
        share = np.exp(scores)[candidate] * np.tile(weight, ITEMS)
        rows = np.asarray(gradient(jnp.asarray(scores, jnp.float32)), np.float64)
        found.append(share @ rows)
    return float(np.abs(found).max())


MIXED = {"popularity": 2, "uniform": 1}


@pytest.mark.parametrize(
    ("draws", "changes"),
    [
        *(({"popularity": n}, {}) for n in (1, 2, 4)),
        ({"uniform": 2}, {}),
        (MIXED, {}),
        ({"popularity": 2}, {"expected_count": True}),  # a constant, which cancels
    ],
    ids=str,
)
def test_at_the_truth_the_expected_gradient_is_zero(draws, changes):
    """Independent draws, no mask, every column corrected: by enumeration of 6^n."""
    assert expected_gradient(draws, **changes) < 1e-6


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_nor_without_a_correction_nor_with_half_of_one(strength):
    assert expected_gradient({"popularity": 2}, logq=strength) > 0.01


def test_a_fixed_share_of_columns_from_each_source_is_close_to_it_but_not_it():
    """Then columns aren't exchangeable: the balance heuristic leaves a little."""
    found = expected_gradient(MIXED, alike=False)
    assert 1e-4 < found < 0.01
    assert found < expected_gradient(MIXED, alike=False, logq=0.0) / 4


@pytest.mark.parametrize("own_out", [True, False])
def test_columns_that_pass_the_mask_stand_for_all_other_items(own_out):
    """Mean over all draws of two: sum exp(z - log N q) = sum of exp z of the others."""
    config = config_of(
        "popularity:2",
        mask_same_item=True,
        leave_own_out=own_out,
        expected_count=True,
        correct_positive=False,
        temperature=1.0,
    )
    draws = np.array(list(itertools.product(range(ITEMS), repeat=2)))

    @jax.jit
    def partition(ids: jax.Array) -> jax.Array:
        given = config, QUERY, VECTORS, CANDIDATE, (ids,), POOL
        return jnp.exp(logits_of(*given)[1].logsumexp())

    sums = np.array([partition(ids) for ids in draws])
    found = (SHARE[draws].prod(axis=1)[:, None] * sums).sum(axis=0)
    whole = np.exp(np.asarray(QUERY @ VECTORS.T, np.float64))
    own = whole[np.arange(BATCH), CANDIDATE]
    np.testing.assert_allclose(found, whole.sum(axis=1) - own, rtol=1e-4)


def test_blocks_come_out_of_one_pass_of_the_tower():
    sources = "in-batch", "uniform-per-row:2", "uniform:5"
    made, states = ready(config_of(*sources), POOL)
    ids = [DRAWN[name][0] for name in sources]
    drawn = tuple(Drawn(jnp.asarray(of, jnp.int32)) for of in ids)
    vectors = jnp.asarray(VECTORS)[np.concatenate([of.ravel() for of in ids])]
    for block in split_blocks(vectors, made, states, drawn, BATCH):
        np.testing.assert_array_equal(block.vectors, VECTORS[block.drawn.ids])
        assert block.vectors.shape == (*block.drawn.ids.shape, DIM)


def test_the_share_masked_counts_what_a_row_may_not_use():
    config = config_of("in-batch", "uniform:5", mask_same_item=True)
    ids = np.array(CANDIDATE), UNIFORM
    blocks = blocks_of(config, POOL, ids, VECTORS)
    lost = [(np.concatenate(ids) == positive).sum() for positive in CANDIDATE]
    found = float(masked_share(found_logits(config)[1], blocks))
    assert math.isclose(found, sum(lost) / (4 * 9), rel_tol=1e-5)
