"""Checkpoints: an interrupted training goes on from its last one, to the same bits.

All that the next epoch depends on is kept, as arrays by name; the caller decides where.
The command line keeps them as files (experiments/output/checkpoints.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research.train.run_state import RunState

INTERVAL = 60.0  # seconds of training


class Checkpoint(NamedTuple):
    """How the checkpoints of a run's training are loaded and saved.

    Attributes:
      load: () -> the arrays that were saved last, None where the training begins.
      save: stores arrays in place of the last ones; called at the end of an epoch.
      interval: seconds of training before the first checkpoint and between two.
    """

    load: Callable[[], Mapping[str, np.ndarray] | None]
    save: Callable[[dict[str, np.ndarray]], object]
    interval: float = INTERVAL


class TrainingProgress:
    """How far a training has come, and how long it took in all its processes."""

    def __init__(self, runs: Sequence[RunState], checkpoint: Checkpoint | None) -> None:
        """Moves the run to its checkpoint, if there is one.

        Raises:
          ValueError: a checkpoint for more than one run.
        """
        if checkpoint is not None and len(runs) > 1:
            raise ValueError("only a run that is trained alone has checkpoints")
        self._run, self._checkpoint = runs[0], checkpoint
        self._first = self._before = 0.0
        if checkpoint is not None and (arrays := checkpoint.load()):
            state = self._run.state
            like = {"state": state, "best": state.params}
            found = {name for name in like if any(n.startswith(name) for n in arrays)}
            trees = {name: tree_of(name, like[name], arrays) for name in found}
            self._run.go_on(trees, str(arrays["about"]))
            self._first, self._before = arrays["seconds"].tolist()
        self.done = len(self._run.history)
        self._compiling = True
        self._start = self._saved = time.perf_counter()

    def epoch_ended(self) -> None:
        """Records the time of this process's first epoch, which compiles."""
        if self._compiling:
            self._first += time.perf_counter() - self._start
            self._compiling = False

    def seconds(self) -> tuple[float, float]:
        """Seconds of epochs that compiled, and of all else."""
        spent = self._before + time.perf_counter() - self._start
        return self._first, spent - self._first

    def keep(self) -> None:
        """Saves the run, if the interval is over and an epoch is to come."""
        checkpoint, now = self._checkpoint, time.perf_counter()
        if checkpoint is None or now - self._saved < checkpoint.interval:
            return
        if len(self._run.history) == self._run.config.epochs:
            return
        arrays = {"about": np.array(self._run.about()), "seconds": np.zeros(2)}
        for name, tree in self._run.trees().items():
            arrays |= arrays_of(name, tree)
        first, rest = self.seconds()
        arrays["seconds"][:] = first, first + rest
        checkpoint.save(arrays)
        self._saved = time.perf_counter()


def arrays_of(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Copies of a tree's leaves on the host, by the tree's name and their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        name + jax.tree_util.keystr(path): np.array(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for path, leaf in leaves
    }


def tree_of(name: str, like: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree of that name among the arrays, of the structure of another.

    Raises:
      KeyError: a leaf is missing.
    """

    def restored(path: Any, leaf: Any) -> Any:
        values = arrays[name + jax.tree_util.keystr(path)]
        if _is_key(leaf):
            impl = jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(jnp.array(values), impl=impl)
        return jnp.array(values)

    return jax.tree_util.tree_map_with_path(restored, like)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", float), jax.dtypes.prng_key)
