"""A run in training: its swept values on the device, its state, its history."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from research import rng
from research.batches import epoch_batches
from research.config import Config, swept_fields, swept_values
from research.entries import own, read
from research.losses import LOSSES, hyper_values, start_values
from research.negatives.frequencies import FREQUENCIES
from research.negatives.frequency import log_q_error
from research.negatives.source import Hyper
from research.notices import say
from research.prepare import Prepared
from research.registry import entry_name
from research.temperature import kind_of, narrow_range
from research.train.health import collapse, distinct_by_item, health
from research.train.model import Model, Params, serve_all
from research.train.optimiser import init_optimiser
from research.train.optimisers import OPTIMISERS
from research.train.scored import init_opponent
from research.train.step import TrainState, with_share
from research.train.world import World
from research.types import InputError

SAMPLE = 20  # rows of a batch; in a smaller one too few users show a collapse


def traced_values(config: Config) -> Hyper:
    """The swept fields and the loss's own as float32 scalars on the device."""
    values = {name: getattr(config, name) for name in swept_fields()}
    values |= swept_values(config)
    values |= hyper_values(config)
    values["epochs"] = config.epochs  # a schedule runs over all of them
    return {name: jnp.float32(value) for name, value in values.items()}


def init_state(run: Prepared, world: World, sizes: dict[str, int]) -> TrainState:
    """The state before the first step: the run's initial parameters, all else fresh.

    The seed decides what is drawn.

    Raises:
      InputError: what the loss learns starts outside its bounds.
    """
    config = run.config
    check_start(config)
    key = rng.root(config.seed)
    params = run.model.init(rng.stream(key, "init"), sizes, world, config)
    params["loss"] |= kind_of(config).start(config)
    params = run.initial(params)
    loss, optimiser = LOSSES.choose(config.loss), OPTIMISERS[config.optimiser]
    hyper, shares = traced_values(config), read(config.frequency, FREQUENCIES)
    init_users, users = kind_of(config).init, world.offsets.shape[0] - 1
    steps = world.pairs.candidate.shape[0] // config.batch
    return TrainState(
        params=params,
        optimiser=init_optimiser(optimiser, params),
        source_states=tuple(source.init(world.pool, hyper) for source in run.sources),
        frequency=shares.entry.init(shares.values, len(world.pool.counts), steps),
        temperatures=() if init_users is None else init_users(config, users),
        loss=()
        if loss.init is None
        else loss.init(np.asarray(world.item), np.asarray(world.offsets)),
        opponent=()
        if loss.opponent is None
        else init_opponent(
            optimiser,
            loss.opponent(
                rng.stream(key, "opponent"), users, len(world.pool.counts), config.dim
            ),
        ),
        key=rng.stream(key, "steps"),
        step=jnp.int32(0),
    )


def check_start(config: Config) -> None:
    """Checks that what the loss learns starts within its bounds.

    Raises:
      InputError: the first value that the loss's project would move.
    """
    start, project = start_values(config), LOSSES.choose(config.loss).project
    if project is None:
        return
    with jax.ensure_compile_time_eval():  # also where a state is only traced
        before = {name: jnp.float32(value) for name, value in start.items()}
        after = project(before, before, traced_values(config))
    for name, value in start.items():
        if float(after[name]) != float(before[name]):
            raise InputError(
                f"{name} is {value:g}: loss {config.loss} keeps it within bounds, "
                f"of which the nearest is {float(after[name]):g}"
            )


def check_weights(world: World) -> None:
    """Refuses invalid weights of the pairs.

    Raises:
      InputError: one is negative or not finite, or all are 0.
    """
    weight = np.asarray(world.pairs.weight)
    bad = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if len(bad):
        raise InputError(
            f"the weight of pair {bad[0]} is {weight[bad[0]]}: it must be finite and "
            f"not below 0"
        )
    if not weight.any():
        raise InputError("all weights of the pairs are 0: there is nothing to learn")


NOT_FINITE = "loss not finite"


class NotFinite(Exception):
    """A loss was not finite; the message begins with NOT_FINITE and names the step."""


class RunState:
    """What differs between runs that one program trains.

    Attributes:
      run: the run, prepared.
      config: its config.
      state: after the last epoch.
      batches: the indices [steps, batch] of the current epoch, or of the next between
        two.
      hyper: the swept values.
      history: one row per epoch.
      failure: why the run failed; None as long as it has not.
    """

    def __init__(self, run: Prepared, state: TrainState, world: World) -> None:
        self.run, self.config, self.state = run, run.config, state
        config = run.config
        self.hyper: Hyper = traced_values(config)
        self.history: list[dict[str, float]] = []
        self.failure: NotFinite | None = None
        self._indices_of = functools.partial(_indices, config, world)
        self._begin(1)
        self._best_value, self._best_params, self._best_at = -np.inf, None, 0
        self._alarmed = False
        _warn(narrow_range(config, np.asarray(world.pool.counts)))

    def _begin(self, epoch: int) -> None:
        """Makes the indices of an epoch, and prepares those of the epochs after it."""
        epochs = range(epoch, self.config.epochs + 1)
        self._indices = map(self._indices_of, epochs)
        self.batches = self._later = next(self._indices)

    def about(self) -> str:
        """What a checkpoint holds beside arrays, as JSON, to the last digit."""
        return json.dumps(
            [self.history, self._best_value, self._best_at, self._alarmed]
        )

    def trees(self) -> dict[str, Any]:
        """The trees of arrays that a checkpoint holds: state and best parameters.

        The latter are there only if parameters were measured.
        """
        trees: dict[str, Any] = {"state": self.state}
        return (
            trees if self._best_params is None else {**trees, "best": self._best_params}
        )

    def go_on(self, trees: Mapping[str, Any], about: str) -> None:
        """Restores what ``trees`` and ``about`` returned after an epoch."""
        self.history, self._best_value, self._best_at, self._alarmed = json.loads(about)
        self.state, self._best_params = trees["state"], trees.get("best")
        self._begin(len(self.history) + 1)

    @property
    def params(self) -> Params:
        """The best parameters where they were measured, else the last."""
        return self.state.params if self._best_params is None else self._best_params

    @property
    def row(self) -> dict[str, float]:
        """The row of the history of the epoch that ``params`` come from."""
        return self.history[-1 if self._best_params is None else self._best_at]

    @property
    def stalled(self) -> bool:
        """Whether the last ``patience`` validations were no better than one before."""
        since = len(self.history) - 1 - self._best_at
        looks = since // max(self.config.evaluate_every, 1)
        return self._best_params is not None and 0 < self.config.patience <= looks

    def look_ahead(self) -> None:
        """Makes the next epoch's indices while the device is at work."""
        self._later = next(self._indices, self.batches)

    def take(
        self,
        steps: dict[str, Float[Array, " s"]],
        model: Model,
        world: World,
        measure: Callable[[Params], dict[str, float]] | None,
    ) -> dict[str, float] | None:
        """Adds the row of the epoch just run to the history and returns it.

        None if the run has failed, or has stalled while others went on.
        """
        if self.stalled:
            return None
        if self.failure is None:
            self.failure = _not_finite(len(self.history), steps)
        if self.failure is not None:
            return None
        row = _row(len(self.history) + 1, steps)
        sample = model, self.state.params, world, self.batches[-1]
        row |= health(*sample)
        row |= self._columns_of_some(world)
        if len(self.history) + 1 == self.config.epochs and row["loss"] == 0.0:
            say(
                "warning: the loss was exactly 0 in the last epoch: no negative had an "
                "effect"
            )
        silent = self._alarmed or self.batches.shape[-1] < SAMPLE
        by_item = functools.partial(distinct_by_item, *sample)
        if not silent and (alarm := collapse(row, by_item)):
            say(alarm)
            self._alarmed = True
        if measure is not None:
            metrics = measure(self.state.params)
            row |= metrics
            if (value := next(iter(metrics.values()))) > self._best_value:
                self._best_value = value
                self._best_params = jax.tree.map(jnp.copy, self.state.params)
                self._best_at = len(self.history)
        self.history.append(row)
        self.batches = self._later
        return row

    def _columns_of_some(self, world: World) -> dict[str, float]:
        """The columns of a row of the history that only some runs have."""
        config, found = self.config, {}
        if (kind := kind_of(config)).learned:
            found["temperature"] = kind.end(config, self.state.params["loss"], {})
        shares = FREQUENCIES.choose(config.frequency)
        if shares.log_share is not None:
            hyper = own(self.hyper, config.frequency)
            at_end = with_share(shares, world, self.state, config.batch, hyper)
            error = log_q_error(at_end.pool.log_share, world.pool.counts)
            found["log_q_error"] = float(error)
        return found


def _indices(config: Config, world: World, epoch: int) -> Int[np.ndarray, "s b"]:
    """The batches of an epoch, by position among the pairs."""
    window = None
    if entry_name(config.batch_order) == "time":
        window = np.asarray(world.timed.window[world.pairs.position])
    n = world.pairs.candidate.shape[0]
    return epoch_batches(n, config.batch, config.seed, epoch, window)


def refreshed(run: Prepared, state: TrainState, world: World) -> TrainState:
    """The state before an epoch, with the parts that depend on the model recomputed.

    Those are the users' temperatures, and sources such as bands of ranks.
    """
    refresh = kind_of(run.config).refresh
    if refresh is not None:
        state = state._replace(temperatures=refresh(state.temperatures, run.config))
    if all(source.refresh is None for source in run.sources):
        return state
    queries = np.arange(world.offsets.shape[0] - 1, dtype=np.int32)  # if traced, too
    users, items = serve_all(run.model, state.params, world, queries)
    source_states = tuple(
        before if source.refresh is None else source.refresh(before, users, items)
        for source, before in zip(run.sources, state.source_states, strict=True)
    )
    return state._replace(source_states=source_states)


@functools.cache  # once per process, however many runs of a grid it concerns
def _warn(line: str | None) -> None:
    if line:
        say(line)


def _not_finite(epochs: int, steps: dict[str, Float[Array, " s"]]) -> NotFinite | None:
    loss = np.asarray(steps["loss"])
    bad = np.flatnonzero(~np.isfinite(loss))
    step = epochs * len(loss) + int(bad[0]) if len(bad) else None
    return None if step is None else NotFinite(f"{NOT_FINITE} at step {step}")


def _row(epoch: int, steps: dict[str, Float[Array, " s"]]) -> dict[str, float]:
    values = {name: np.asarray(value) for name, value in steps.items()}
    row = {name: float(value.mean()) for name, value in values.items()}
    row["temperature"] = float(values["temperature"][-1])
    return {"epoch": float(epoch), "step": float(epoch * len(values["loss"])), **row}
