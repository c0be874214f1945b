"""A training step is read through few modules."""

import jax
import jax.numpy as jnp
import optax
import pytest

from research.config import Config, structure
from research.losses import LOSSES, Loss
from research.losses.entry import CATALOGUE
from research.prepare import prepare
from research.train.loop import train
from research.train.optimisers import OPTIMISERS, Optimiser
from research.train.run_state import init_state, traced_values
from research.train.step import make_step
from tests.world import made_fold


@pytest.mark.parametrize("loss", ["psl-tanh", "debiased", "sampled-softmax"])
def test_a_learned_temperature_follows_the_slope_of_the_loss(loss):
    """Also where a loss has it besides its logits, as a power or a floor."""
    config = Config(
        batch=64,
        dim=8,
        user_features=("id",),
        encoder="none",
        user_hidden=(),
        item_hidden=(),
        loss=loss,
        temperature=0.15,
        temperature_kind="learned",
        optimiser="SGD",
        learning_rate=0.01,
    )
    with OPTIMISERS.added("SGD", Optimiser("SGD", optax.identity, optax.identity)):
        run = prepare(config, made_fold())
        world, sizes = run.world
        state, hyper = init_state(run, world, sizes), traced_values(run.config)
        step = jax.jit(make_step(structure(run.config)))
        rows = jnp.arange(64, dtype=jnp.int32)

        def at(moved):
            learned = {n: v + moved for n, v in state.params["loss"].items()}
            params = {**state.params, "loss": learned}
            return step(state._replace(params=params), rows, hyper, world)

        (after, _), (_, above), (_, below) = at(0.0), at(0.02), at(-0.02)
    slope = (float(above["loss"]) - float(below["loss"])) / 0.04
    (start,), (end,) = (x.params["loss"].values() for x in (state, after))
    assert float(start - end) == pytest.approx(0.01 * slope, rel=0.02)


@pytest.mark.parametrize("shape", [(), (64, 1), (1,)])
def test_a_loss_gives_one_value_per_row(shape):
    """What is none would be broadcast by the mean over the batch."""
    entry = Loss(lambda positive, negatives, hyper: jnp.zeros(shape))
    config = Config(loss="wrong", batch=64, epochs=1, dim=8, user_hidden=(8,))
    with (
        LOSSES.added("wrong", entry),
        pytest.raises(ValueError, match=r"loss wrong: expected one value per row"),
    ):
        train(config, made_fold())


def test_a_loss_has_the_logits_of_all_candidates_by_the_temperature_of_the_positive():
    """A row's positive is one of the candidates: so its logit is among theirs."""

    def nearest(positive, negatives, hyper, context):
        return jnp.abs(context.catalogue - positive[:, None]).min(axis=1)

    entry = Loss(nearest, needs=frozenset({CATALOGUE}))
    config = Config(loss="nearest", batch=64, epochs=1, dim=8, dropout=0.0)
    with LOSSES.added("nearest", entry):
        (row,) = train(config, made_fold()).history
    assert row["loss"] < 1e-4
