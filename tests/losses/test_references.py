"""Losses beside public implementations, or the authors' formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rax

from research.logits.reducers import Dense
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.top_k import Thresholds

B, C, D = 5, 7, 4
DRAW = np.random.default_rng(0)
UNIT_USERS, UNIT_ITEMS = (
    v / np.linalg.norm(v, axis=1, keepdims=True) for v in DRAW.normal(size=(2, B, D))
)
POSITIVE = DRAW.normal(size=B)
Z = DRAW.normal(size=(B, C))
KEEP = DRAW.random((B, C)) < 0.7
KEEP[:, 0] = True
N = KEEP.sum(1)
# The catalogue holds the positive and the negatives, and eight items more.
CATALOGUE = np.concatenate([POSITIVE[:, None], Z, DRAW.normal(size=(B, 8))], axis=1)
THRESHOLD = DRAW.uniform(-1, 1, B)
HARDNESS = DRAW.uniform(-1, 1, (B, C))


def ours(
    name, z=Z, keep=KEEP, positive=POSITIVE, opponent=HARDNESS, length=1.0, **changes
):
    entry = LOSSES[name]
    values = {n: default for n, (default, _) in entry.hyper.items()}
    values |= entry.trainable | {"temperature": 0.3, "items": 50.0} | changes
    hyper = {n: jnp.float32(v) for n, v in values.items()}
    logits = Dense(jnp.array(z, jnp.float32), jnp.array(keep))
    pair = (jnp.array(length * v, jnp.float32) for v in (UNIT_USERS, UNIT_ITEMS))
    state = Thresholds(jnp.array(THRESHOLD, jnp.float32), jnp.zeros((B, 0), jnp.int32))
    scores = jnp.array(np.resize(opponent, np.shape(z)), jnp.float32)
    catalogue = jnp.array(CATALOGUE, jnp.float32)
    context = Context(*pair, catalogue, state, Dense(scores, logits.keep))
    return np.asarray(entry(jnp.array(positive, jnp.float32), logits, hyper, context))


def listed():
    """The positive first, then its negatives: scores, labels, where; [b, 1 + c]."""
    scores = np.concatenate([POSITIVE[:, None], Z], axis=1).astype(np.float32)
    where = np.concatenate([np.ones((B, 1), bool), KEEP], axis=1)
    labels = np.zeros_like(scores)
    labels[:, 0] = 1.0
    return scores, labels, where


def a_row(loss, **options):
    """A rax loss of each row by itself, summed over its items."""
    scores, labels, where = (jnp.array(x) for x in listed())
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        rows = [
            loss(s, y, where=w, reduce_fn=jnp.sum, **options)
            for s, y, w in zip(scores, labels, where)
        ]
    return np.array(rows)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_sampled_softmax_is_optax_cross_entropy_and_rax_softmax():
    scores, labels, where = (jnp.array(x) for x in listed())
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = optax.losses.softmax_cross_entropy(scores, labels, where=where)
    close(ours("sampled-softmax"), theirs)
    close(ours("sampled-softmax"), a_row(rax.softmax_loss))


def test_bpr_is_rax_pairwise_logistic():
    close(ours("bpr") * N, a_row(rax.pairwise_logistic_loss))


def test_hinge_is_rax_pairwise_hinge():
    close(ours("hinge") * N, a_row(rax.pairwise_hinge_loss))


@pytest.mark.parametrize("name", ["sigmoid", "binary-nce", "siglip"])
def test_pointwise_losses_are_optax_sigmoid_cross_entropy(name):
    bias, scale = 0.4, 1.5 if name == "siglip" else 1.0
    scores, labels, where = listed()
    with jax.numpy_dtype_promotion("standard"):
        each = optax.losses.sigmoid_binary_cross_entropy(
            jnp.array(scale * scores + bias), jnp.array(labels)
        )
    each = np.where(where, each, 0.0)
    negatives = each[:, 1:].sum(1) / (N if name == "sigmoid" else 1)
    learned = {"bias": bias}
    if name == "siglip":
        learned["log_scale"] = np.log(scale)
    close(ours(name, **learned), each[:, 0] + negatives)


def test_gbce_is_its_formula():
    def sigma(x):
        return 1 / (1 + np.exp(-x))

    rate = N / 49.0
    beta = rate * (0.9 * (1 - 1 / rate) + 1 / rate)
    negatives = np.where(KEEP, np.log(1 - sigma(Z + 0.2)), 0.0).sum(1)
    expected = -(np.log(sigma(POSITIVE + 0.2) ** beta) + negatives) / (N + 1)
    close(ours("gbce", calibration=0.9, bias=0.2), expected)


def test_align_uniform_is_its_formula():
    def uniformity(x):
        pairs = [np.sum((x[i] - x[j]) ** 2) for i in range(B) for j in range(i)]
        return np.log(np.mean(np.exp(-2 * np.array(pairs))))

    align = np.sum((UNIT_USERS - UNIT_ITEMS) ** 2, axis=1)
    spread = (uniformity(UNIT_USERS) + uniformity(UNIT_ITEMS)) / 2
    for length in (1.0, 3.0):
        found = ours("align-uniform", length=length, uniformity=0.7)
        close(found, align + 0.7 * spread)


def rank_of(score, row):
    return 1 + sum(other > score for other in CATALOGUE[row])


def lambda_formula(weight):
    """By loops over the kept columns of each row."""
    rows = []
    for b in range(B):
        own, terms = rank_of(POSITIVE[b], b), []
        for z in Z[b][KEEP[b]]:
            terms.append(weight(own, rank_of(z, b)) * np.log1p(np.exp(z - POSITIVE[b])))
        rows.append(np.mean(terms))
    return np.array(rows)


def close_in_rank(own, other):
    return 1 / np.log2(1 + abs(own - other))


def at_k(own, other):
    lower = max(own, other)
    return close_in_rank(own, other) / (1 - 1 / lower if lower > 5 else 1)


def test_lambda_losses_are_their_formula_with_ranks_by_counting():
    dcg = lambda_formula(
        lambda own, other: abs(1 / np.log2(1 + own) - 1 / np.log2(1 + other))
    )
    close(ours("lambda-rank"), dcg)
    close(ours("lambda-loss"), lambda_formula(close_in_rank))
    close(ours("lambda-loss-at-k", cutoff=5.0), lambda_formula(at_k))
    assert np.abs(dcg - lambda_formula(at_k)).max() > 0.01


def test_sl_at_k_weighs_with_a_gradient():
    entry = LOSSES["sl-at-k"]
    hyper = {"width": jnp.float32(0.7), "weight_gradient": jnp.float32(1)}
    state = Thresholds(jnp.array(THRESHOLD, jnp.float32), jnp.zeros((B, 0), jnp.int32))
    logits = Dense(jnp.array(Z, jnp.float32), jnp.array(KEEP))
    own = jnp.array(POSITIVE, jnp.float32)

    def total(query):
        context = Context(query, jnp.array(UNIT_ITEMS, jnp.float32), state=state)
        return jnp.sum(entry(own, logits, hyper, context))

    found = jax.grad(total)(jnp.array(UNIT_USERS, jnp.float32))
    weight = 1 / (1 + np.exp(-(np.sum(UNIT_USERS * UNIT_ITEMS, 1) - THRESHOLD) / 0.7))
    softmax = np.log(np.where(KEEP, np.exp(Z - POSITIVE[:, None]), 0.0).sum(1))
    slope = weight * (1 - weight) / 0.7 * softmax
    close(found, slope[:, None] * UNIT_ITEMS)


def test_adv_info_nce_of_equal_hardness_is_the_sampled_softmax():
    found = ours("adv-info-nce", opponent=np.full((B, C), 0.3), negative_weight=1.0)
    close(found, ours("sampled-softmax"))
    found = ours("adv-info-nce", negative_weight=1.0)
    assert np.abs(found - ours("sampled-softmax")).max() > 0.01


def test_llpauc_is_its_formula():
    learned = {"a": 0.8, "b": 0.1, "s_positive": 0.4, "s_negative": 0.6}
    learned |= {"gamma": 0.2, "slack_a": 0.5, "slack_b": -0.3}
    a, b, plus, minus, gamma, slack_a, slack_b = learned.values()

    def sigma(x):
        return 1 / (1 + np.exp(-x))

    def soft(x):
        return np.log1p(np.exp(5 * x)) / 5

    own = -((sigma(POSITIVE) - a) ** 2) + 2 * (1 + gamma) * sigma(POSITIVE) - plus
    other = (sigma(Z) - b) ** 2 + 2 * (1 + gamma) * sigma(Z) - minus
    expected = -plus - soft(own) / 0.6 - gamma**2
    expected = expected + minus + np.where(KEEP, soft(other), 0.0).sum(1) / N / 0.05
    expected = expected + slack_a * (a + gamma) + slack_b * (gamma + 1 - b)
    close(ours("llpauc", tpr=0.6, fpr=0.05, **learned), expected)
