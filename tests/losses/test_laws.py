"""One test a law, over the whole registry: a new loss is covered by being in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.laws import Broken, Verdict
from research.logits.reducers import Dense
from research.losses import LOSSES, MASK, ORDER, SHIFT, Loss
from research.losses.entry import NEGATIVES
from research.losses.laws import KEEP, LAWS, OTHERS, B, Z, constant, verdict


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_keeps_its_laws_and_breaks_the_others(name):
    assert verdict(name, LOSSES[name]) == Verdict(())


@pytest.mark.parametrize("law", LAWS)
def test_a_law_that_holds_undeclared_is_named(law):
    loss = LOSSES["bpr"]._replace(laws=LOSSES["bpr"].laws - {law})
    (fault,) = verdict("bpr", loss).faults
    assert fault == f"{constant(law)} ({law}) holds: declare it in laws"


def test_only_laws_that_are_tested_are_declared():
    declared = frozenset().union(*(loss.laws for loss in LOSSES.values()))
    assert declared <= set(LAWS)


def first_column(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return jax.nn.softplus(negatives.z[:, 0] - positive)


def unmasked(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return jax.nn.logsumexp(negatives.z, axis=1) - positive


def by_a_constant(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    z = jnp.where(negatives.keep, negatives.z, negatives.z - 8.0)
    return jax.nn.logsumexp(z, axis=1) - positive


def the_negatives_alone(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return negatives.logsumexp()


@pytest.mark.parametrize(
    ("fn", "law"),
    [
        (first_column, ORDER),
        (unmasked, MASK),
        (by_a_constant, MASK),
        (the_negatives_alone, SHIFT),
    ],
)
def test_a_law_finds_the_loss_that_breaks_it(fn, law):
    with pytest.raises(Broken, match=r"\d"):
        LAWS[law](Loss(fn))


def others_in_the_row(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return negatives.logsumexp() - positive + jnp.mean(positive)


def steep(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return negatives.sum(lambda z: jnp.exp(z - positive[:, None]))


def never_zero(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return jax.nn.softplus(-positive)


def not_compiled_alike(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    traced = isinstance(positive, jax.core.Tracer)
    return negatives.logsumexp() - positive + 0.1 * traced


@pytest.mark.parametrize(
    ("fn", "what", "told"),
    [
        (others_in_the_row, "a value a row", "with other logits in the other rows"),
        (steep, "extreme logits", "not finite"),
        (never_zero, "extreme logits", "without negatives"),
        (not_compiled_alike, "compiled as step by step", "mapped over batches"),
    ],
)
def test_what_every_loss_must_have_is_checked(fn, what, told):
    with pytest.raises(Broken, match=told):
        OTHERS[what](Loss(fn, needs=frozenset({NEGATIVES})))


def test_reducers_against_loops():
    dense = Dense(jnp.asarray(Z), jnp.asarray(KEEP))
    for b in range(B):
        kept = [float(z) for z, k in zip(Z[b], KEEP[b], strict=True) if k]
        for scale in (1.0, 2.5, -1.0):
            expected = np.log(sum(np.exp(scale * z) for z in kept))
            assert abs(float(dense.logsumexp(scale)[b]) - expected) < 1e-5
        squares = dense.sum(lambda z: z * z + 1.0)  # not 0 at the 0 behind a mask
        assert abs(float(squares[b]) - sum(z * z + 1 for z in kept)) < 1e-4
        assert float(dense.count()[b]) == len(kept)


def test_a_masked_column_has_softmax_probability_zero():
    """Its probability is what one more nat on it adds to the log partition function."""
    z = jnp.asarray(np.where(KEEP, Z, 50.0), jnp.float32)
    share = jax.grad(lambda z: jnp.sum(Dense(z, jnp.asarray(KEEP)).logsumexp()))(z)
    assert (np.asarray(share)[~KEEP] == 0).all()
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-6)


def test_an_infinity_behind_a_mask_reaches_no_gradient():
    z = jnp.asarray(np.where(KEEP, Z, np.inf), jnp.float32)
    keep = jnp.asarray(KEEP)

    def total(z: jax.Array) -> jax.Array:
        dense = Dense(z, keep)
        return jnp.sum(dense.logsumexp() + dense.sum(jnp.exp))

    grad = np.asarray(jax.grad(total)(z))
    assert np.isfinite(grad).all()
    assert (grad[~KEEP] == 0).all()
