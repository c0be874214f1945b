"""What chance decides in a step, and whose positives are masked in it."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.arms import arm
from research.config import Config
from research.losses import LOSSES, Loss
from research.losses.entry import CATALOGUE
from research.negatives import SOURCES, SourceEntry
from research.negatives.source import uniform
from research.train.loop import train
from research.train.optimisers import OPTIMISERS, Optimiser
from tests.train.begun import SMALL, begun
from tests.world import made_fold

FACTORS = dataclasses.replace(arm("mf-dot", Config()), batch=64, dim=8)
INDEX = jnp.arange(0, 960, 15, dtype=jnp.int32)  # of 64 pairs


def drawn_at(steps: Sequence[int], **changes: object) -> list[tuple[int, ...]]:
    """The ids that each source draws in these steps of a run."""
    seen = []

    def noted(draws, config):
        plain = uniform(draws, config)

        def draw(*given):
            seen.append(plain.draw(*given))
            return seen[-1]

        return plain._replace(name="noted", draw=draw)

    with SOURCES.added("noted", SourceEntry(noted)):
        config = dataclasses.replace(FACTORS, negatives=("noted:20",))
        start = begun(dataclasses.replace(config, **changes))
        step = start.step()
        for n in steps:
            state = start.state._replace(step=jnp.int32(n))
            step(state, INDEX, start.hyper, start.world)
    return [tuple(drawn.ids.tolist()) for drawn in seen]


def test_each_step_and_each_source_draws_anew():
    draws = drawn_at([0, 1], negatives=("noted:20", "noted:20"))
    assert len(draws) == len(set(draws)) == 4


def test_loader_workers_repeat_draws_in_turn_and_in_every_epoch():
    epoch = len(made_fold().fitted.user) // 64
    draws = drawn_at(range(2 * epoch), loader_workers=4)
    turns = [n // 4 for n in range(epoch)] * 2
    assert epoch > 8
    assert [draws.index(one) for one in draws] == [turns.index(turn) for turn in turns]
    assert drawn_at([0], loader_workers=4, seed=1) != draws[:1]


def test_a_row_masks_what_its_own_user_has():
    config = dataclasses.replace(
        FACTORS, negatives=("catalogue",), mask_user_positives=True
    )
    fold, start = made_fold(), begun(config)
    _, told = start.step()(start.state, INDEX, start.hyper, start.world)
    users = fold.fitted.user[np.asarray(INDEX)]
    own = [len(set(fold.fitted.item[fold.fitted.user == user])) for user in users]
    masked = np.mean(own) / fold.fitted.n_items
    np.testing.assert_allclose(told["masked"], masked, rtol=1e-5)


def test_users_are_compared_at_one_temperature():
    config = dataclasses.replace(
        FACTORS, temperature_kind="per-user", temperature=0.1, negatives=("catalogue",)
    )
    start = begun(config)
    step, state, users = start.step(), start.state, start.state.temperatures
    other = users._replace(temperature=2 * users.temperature)
    one, two = (
        step(state._replace(temperatures=users), INDEX, start.hyper, start.world)
        for users in (users, other)
    )
    assert one[1]["loss"] != two[1]["loss"]
    np.testing.assert_array_equal(one[0].temperatures.loss, two[0].temperatures.loss)


def test_a_seed_decides_all_initial_values_and_the_steps():
    states = []
    for seed in (0, 0, 1):
        state = begun(dataclasses.replace(SMALL, seed=seed)).state
        weights = jax.tree.leaves((state.params["tables"], state.params["user"]))
        weights += jax.tree.leaves(state.params["item"])
        weights = [np.asarray(weight) for weight in weights if weight.any()]
        states.append([*weights, np.asarray(jax.random.key_data(state.key))])
    one, again, other = states
    assert all(np.array_equal(*pair) for pair in zip(one, again, strict=True))
    assert not any(np.array_equal(*pair) for pair in zip(one, other, strict=True))


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
        start = begun(config)
        _, world, state, hyper = start
        step = jax.jit(start.step())
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
