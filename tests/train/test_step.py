"""A training step is read through few modules."""

import sys

import jax
import jax.numpy as jnp
import pytest

from research.config import Config, structure
from research.losses import LOSSES, Loss
from research.prepare import prepare
from research.train.loop import train
from research.train.run_state import init_state, traced_values
from research.train.step import make_step
from tests.world import made_fold


def test_a_step_crosses_at_most_twelve_modules():
    """Those whose functions run while the step of in-batch+logq is traced."""
    layers = {"dim": 8, "user_hidden": (8,), "item_hidden": (8,)}
    run = prepare(Config(batch=64, history=5, logq=1.0, **layers), made_fold())
    world, sizes = run.world
    state = init_state(run, world, sizes)
    step, hyper = make_step(structure(run.config)), traced_values(run.config)
    modules: dict[str, None] = {}

    def note(frame, event, argument):
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("research."):
            modules[name] = None

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        jax.make_jaxpr(step)(state, jnp.arange(64, dtype=jnp.int32), hyper, world)
    finally:
        sys.setprofile(before)
    assert "research.train.step" in modules
    assert len(modules) <= 12, list(modules)


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
