"""The one training loop: Python over a compiled epoch, for every arm."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from research.config import Config, batch_key, compile_key
from research.entries import own
from research.logits.reducers import LIMITS, Limits
from research.negatives.source import Hyper
from research.prepare import Prepared, prepare
from research.registry import CACHES
from research.temperature import kind_of, values_of
from research.train.checkpoint import Checkpoint, TrainingProgress
from research.train.mesh import Placement, placement_over
from research.train.model import Params, serve_task
from research.train.run_state import (
    NotFinite,
    RunState,
    check_weights,
    init_state,
    refreshed,
)
from research.train.step import TrainState, make_step
from research.train.world import World
from research.types import Fold

# (user vectors, item vectors) -> metrics
Validate = Callable[[np.ndarray, np.ndarray], dict[str, float]]


class Trained(NamedTuple):
    """A finished run: vectors of fold.evaluated users and of all items, and a history.

    Where positives aren't user-item, the vectors are those of the task's queries and
    candidates (research/positives/tasks.py).

    history has one row per epoch: epoch, step, loss, masked, temperature (at its end; a
    mean over rows where each has its own), the numbers of Health, log_q_error where the
    click share is estimated, and validation metrics where they were asked for. seconds
    counts training, validations included, without the first epoch, which compiles;
    compile_seconds is that first epoch. For a run that went on from a checkpoint both
    include the processes before, each with its first epoch. temperature is what serving
    divides by.
    """

    config: Config
    params: Params
    user_vectors: Float[np.ndarray, "v d"]
    item_vectors: Float[np.ndarray, "i d"]
    history: list[dict[str, float]]
    compile_seconds: float
    seconds: float
    temperature: float


@functools.lru_cache(maxsize=64)
def compiled_epoch(
    shape: Config, runs: int = 1, limits: Limits = LIMITS
) -> Callable[..., tuple[TrainState, Any]]:
    """The epoch of a structure: a scan over [steps, batch], compiled once.

    (state, batches, hyper, world) -> (state, diagnostics [steps]). Everything swept is
    in hyper, so all temperatures and seeds of an arm share it.
    """
    step = make_step(shape, limits)

    def epoch(
        state: TrainState, batches: Int[Array, "s b"], hyper: Hyper, world: World
    ) -> tuple[TrainState, dict[str, Float[Array, " s"]]]:
        return jax.lax.scan(
            lambda state, index: step(state, index, hyper, world), state, batches
        )

    if runs == 1:
        return jax.jit(epoch, donate_argnums=0)
    return jax.jit(jax.vmap(epoch, in_axes=(0, 0, 0, None)), donate_argnums=0)


CACHES.append(compiled_epoch.cache_clear)


def train(
    config: Config,
    fold: Fold,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, row: None,
    validate: Validate | None = None,
    devices: int = 1,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Trains one run and encodes the evaluated users and the whole catalogue.

    Raises:
      InputError: an invalid config (research/prepare.py) or number of devices.
      NotFinite: a loss was not finite.
    """

    def on_row(run: int, epoch: int, row: dict[str, float]) -> None:
        on_epoch(epoch, row)

    run = prepare(config, fold)
    (result,) = train_together([run], on_row, validate, devices, checkpoint)
    if isinstance(result, NotFinite):
        raise result
    return result


def train_together(
    prepared: Sequence[Prepared],
    on_epoch: Callable[[int, int, dict[str, float]], None] = lambda run, epoch, r: None,
    validate: Validate | None = None,
    devices: int = 1,
    checkpoint: Checkpoint | None = None,
) -> list[Trained | NotFinite]:
    """Trains runs that are alike in one program, each as ``train`` would.

    For a device that a single run doesn't fill; on a CPU it takes longer than training
    one after the other. seconds are divided evenly among the runs.

    Returns:
      The result of each; a loss that isn't finite ends its own run alone.

    Raises:
      InputError: an invalid number of devices, or invalid weights of the pairs.
      ValueError: the runs aren't ``alike``, or several share several devices.
    """
    first_run = prepared[0]
    config, model = first_run.config, first_run.model
    if any(batch_key(other.config) != batch_key(config) for other in prepared):
        raise ValueError("runs of one program differ in swept fields and seed only")
    if devices > 1 and len(prepared) > 1:
        raise ValueError("over several devices there is one run at a time")
    placement = placement_over(devices, config.batch)
    world, sizes = first_run.world
    check_weights(world)
    runs = [RunState(run, init_state(run, world, sizes), world) for run in prepared]
    world = placement.world(world)

    serve = functools.partial(_served, world=world, placement=placement)
    progress = TrainingProgress(runs, checkpoint)
    for epoch in range(progress.done + 1, config.epochs + 1):
        due = config.evaluate_every and epoch % config.evaluate_every == 0
        steps_of = _one_epoch(runs, world, placement)
        for number, (run, steps) in enumerate(zip(runs, steps_of, strict=True)):
            measure = None
            if validate and due:
                measure = functools.partial(_measured, validate, serve, run)
            if row := run.take(steps, model, world, measure):
                progress.epoch_ended()
                on_epoch(number, epoch, row)
        if all(run.failure or run.stalled for run in runs):
            break
        progress.keep()
    first, rest = (seconds / len(runs) for seconds in progress.seconds())
    vectors = [None if run.failure else serve(run, run.params) for run in runs]
    made = zip(runs, vectors, strict=True)
    return [_trained(run, placement, pair, first, rest) for run, pair in made]


def _one_epoch(
    runs: list[RunState], world: World, placement: Placement
) -> list[dict[str, Float[Array, " s"]]]:
    """Trains every run for an epoch; returns the diagnostics of each run's steps."""
    for run in runs:
        state = placement.state(run.state)
        run.state = refreshed(run.run, state, world)
    arguments = [(r.state, placement.batches(r.batches), r.hyper) for r in runs]
    epoch_of = compiled_epoch(compile_key(runs[0].config), len(runs))
    with placement.here():
        if len(runs) == 1:
            after = [epoch_of(*arguments[0], world)]
        else:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arguments)
            whole = epoch_of(*stacked, world)
            after = [_nth(whole, n) for n in range(len(runs))]
    for run, (state, _) in zip(runs, after, strict=True):
        run.state = state
        run.look_ahead()
    return [steps for _, steps in after]


def _nth(tree: Any, n: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[n], tree)


def _measured(
    validate: Validate,
    serve: Callable[[RunState, Params], tuple[np.ndarray, np.ndarray]],
    run: RunState,
    params: Params,
) -> dict[str, float]:
    return validate(*serve(run, params))


def _served(
    run: RunState, params: Params, world: World, placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the run's task; candidates carry the rest of their own temperature."""
    task, kind = run.run.task, kind_of(run.config)
    both = serve_task(run.run.model, params, world, task)
    users, items = (placement.host(side) for side in both)
    if kind.scale and values_of(run.config).get("served") == "own":
        pool = run.run.world[0].pool
        each = kind.scale(pool, own(run.hyper, run.config.temperature_kind))
        items = items * np.asarray(each)[task.candidates, None]
    return users, items


def _trained(
    run: RunState,
    placement: Placement,
    vectors: tuple[np.ndarray, np.ndarray] | None,
    compile_seconds: float,
    seconds: float,
) -> Trained | NotFinite:
    if run.failure or vectors is None:
        assert run.failure is not None
        return run.failure
    config, history = run.config, run.history
    params = run.params if placement.mesh is None else placement.gathered(run.params)
    temperature = kind_of(config).end(config, params["loss"], run.row)
    times = compile_seconds, seconds, temperature
    return Trained(config, params, *vectors, history, *times)
