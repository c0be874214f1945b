"""Losses beside public implementations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rax

from research.logits.reducers import Dense
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.laws import hyper_of

B, C = 5, 7
DRAW = np.random.default_rng(0)
POSITIVE = DRAW.normal(size=B)
Z = DRAW.normal(size=(B, C))
KEEP = DRAW.random((B, C)) < 0.7
KEEP[:, 0] = True
N = KEEP.sum(1)


def ours(name, **learned):
    hyper = hyper_of(LOSSES[name]) | {n: jnp.float32(v) for n, v in learned.items()}
    logits = Dense(jnp.array(Z, jnp.float32), jnp.array(KEEP))
    context = Context(jnp.ones((B, 1)), jnp.ones((B, 1)))
    positive = jnp.array(POSITIVE, jnp.float32)
    return np.asarray(LOSSES[name](positive, logits, hyper, context))


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


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("bpr", rax.pairwise_logistic_loss), ("hinge", rax.pairwise_hinge_loss)],
)
def test_pairwise_losses_are_those_of_rax(name, theirs):
    close(ours(name) * N, a_row(theirs))


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
