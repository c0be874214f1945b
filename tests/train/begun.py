"""A run just before its first step: what the tests of steps begin with."""

from typing import Any, NamedTuple

from research.config import Config, compile_key
from research.logits.reducers import LIMITS, Limits
from research.prepare import Prepared, prepare
from research.train.run_state import init_state, traced_values
from research.train.step import Step, TrainState, make_step
from research.train.world import World
from research.types import Fold, Hyper
from tests.world import made_fold

# With a small rate for tables, too: the few steps of a test then lead downhill.
SMALL = Config(
    batch=64,
    epochs=2,
    history=5,
    dim=8,
    user_hidden=(8,),
    item_hidden=(8,),
    learning_rate=1e-3,
    table_rate=10.0,
)


class Begun(NamedTuple):
    """A prepared run, its world, its first state and what reaches a step as values."""

    run: Prepared
    world: World
    state: TrainState
    hyper: Hyper

    @property
    def params(self) -> dict[str, Any]:
        """The initial parameters."""
        return self.state.params

    def step(self, limits: Limits = LIMITS) -> Step:
        """The step of the run's structure, not compiled."""
        return make_step(compile_key(self.run.config), limits)


def begun(config: Config, fold: Fold | None = None) -> Begun:
    """A run of a config on the synthetic data set, or on a fold of it."""
    run = prepare(config, fold or made_fold())
    return Begun(
        run, run.world[0], init_state(run, *run.world), traced_values(run.config)
    )
