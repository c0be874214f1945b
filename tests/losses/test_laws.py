"""One test a law, over the whole registry: a new loss is covered by being in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits.reducers import Dense
from research.losses import LOSSES, MASK, ORDER, SHIFT, Loss, entry
from research.losses.entry import NEGATIVES
from tests.losses.laws import KEEP, LAWS, POSITIVE, B, C, Z, eager, losses

NAMES = sorted(LOSSES)


def check_law(name: str, loss: Loss, law: str) -> None:
    """A declared law must hold, and one that isn't declared must be broken."""
    if law in loss.laws:
        LAWS[law](loss)
        return
    broken = ""
    try:
        LAWS[law](loss)
    except AssertionError as error:
        broken = repr(error)
    if not broken:
        pytest.fail(f"loss {name} obeys {constant(law)} ({law}): declare it in laws")
    assert "Not equal" in broken


def constant(law: str) -> str:
    """The name of a law in research.losses, by which an entry declares it."""
    (name,) = (key for key, value in vars(entry).items() if value is law)
    return name


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", NAMES)
def test_a_declared_law_holds_and_another_is_broken(name, law):
    check_law(name, LOSSES[name], law)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_that_holds_undeclared_is_named(law):
    loss = LOSSES["bpr"]._replace(laws=LOSSES["bpr"].laws - {law})
    with pytest.raises(pytest.fail.Exception, match=rf"{constant(law)} \({law}\)"):
        check_law("bpr", loss, law)


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
    with pytest.raises(AssertionError):
        LAWS[law](Loss(fn))


@pytest.mark.parametrize("name", NAMES)
def test_one_value_a_row_which_no_other_row_moves(name):
    values = losses(LOSSES[name])
    assert values.shape == (B,)
    assert np.isfinite(values).all()
    z = Z.copy()
    z[1:] += 3.0
    positive = POSITIVE.copy()
    positive[1:] -= 2.0
    np.testing.assert_allclose(losses(LOSSES[name], positive, z)[0], values[0])


@pytest.mark.parametrize("name", NAMES)
def test_compiled_is_as_eager_and_mapped_is_as_a_loop(name):
    loss = LOSSES[name]
    many = jnp.asarray(np.random.default_rng(1).normal(0, 2, (3, B, C + 1)), "float32")

    def one(x: jax.Array) -> jax.Array:
        return eager(loss, x[:, 0], x[:, 1:])

    loop = jnp.stack([one(x) for x in many])
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(many), loop, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jit(one)(many[0]), loop[0], rtol=1e-5, atol=1e-5)


EXTREMES = [-1e4, 0.0, 1e4]


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_give_finite_losses_and_gradients(name):
    """A huge positive with huge negatives in all combinations, and without any."""
    loss, none = LOSSES[name], np.zeros((B, C), bool)

    @jax.jit
    def both(positive: jax.Array, z: jax.Array, keep: jax.Array):  # type: ignore[no-untyped-def]
        def total(p: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
            rows = losses(loss, p, z, keep)
            return jnp.sum(rows), rows

        return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(positive, z)

    mixed = np.resize(np.array(EXTREMES, np.float32), (B, C))
    for own in EXTREMES:
        positive = np.full(B, own, np.float32)
        for z in (mixed, *(np.full((B, C), x, np.float32) for x in EXTREMES)):
            for keep in (KEEP, none):
                (_, rows), grads = both(positive, z, keep)
                assert np.isfinite(rows).all(), (own, z[0])
                assert all(np.isfinite(g).all() for g in grads), (own, z[0])
                if keep is none and NEGATIVES in loss.needs:
                    assert (rows == 0).all()
                    assert all((g == 0).all() for g in grads)


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
