"""One run over many devices: they divide a batch's rows and share its negatives.

The step isn't written anew: the compiler splits it, given where its arrays lie. A
batch's rows are divided among the devices, nets are copied, large tables and their
moments are divided by row. Every row still meets every other row's item vector, which
the compiler gathers, so that negatives, losses and gradients are those of one device
but for the order of sums. Logits in blocks are the exception: there each device is told
to loop over its own rows (``by_rows`` of research/logits/reducers.py).

The devices may be those of several processes. Each of them then holds the whole world
on its host, and gives its own devices their part of it.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from research.logits.reducers import ROWS
from research.train.step import TrainState
from research.train.world import World
from research.types import InputError

LARGE = 100_000  # rows from which a table is divided; copies of smaller ones are cheap


class Placement(NamedTuple):
    """Where a run's arrays lie; mesh None is the one default device."""

    mesh: Mesh | None
    large: int

    def state(self, state: TrainState) -> TrainState:
        """The state in its place: large tables by row, all else everywhere.

        Tables are filled up with rows of zeros that no id looks up.
        """
        if self.mesh is None:
            return state
        params, optimiser = jax.tree.map(self._filled, (state.params, state.optimiser))
        state = state._replace(params=params, optimiser=optimiser)
        placed: TrainState = jax.tree.map(self._put, state)
        return placed

    def world(self, world: World) -> World:
        """The world on every device."""
        if self.mesh is None:
            return world
        everywhere: World = jax.tree.map(self.copy, world)
        return everywhere

    def batches(self, batches: Int[np.ndarray, "s b"]) -> Int[Any, "s b"]:
        """Indices [steps, rows] with the rows divided."""
        if self.mesh is None:
            return batches
        by_row = NamedSharding(self.mesh, PartitionSpec(None, ROWS))
        return _place(np.asarray(batches), by_row)

    def copy(self, array: Any) -> Array:
        """An array on every device."""
        if self.mesh is None:
            return jnp.asarray(array)
        return _place(array, NamedSharding(self.mesh, PartitionSpec()))

    def host(self, array: Any) -> np.ndarray:
        """The whole array on the host, whichever device holds which part of it."""
        return np.asarray(array if array.is_fully_addressable else self.copy(array))

    def gathered(self, tree: Any) -> Any:
        """A tree of arrays on the host."""
        return jax.tree.map(self.host, tree)

    def here(self) -> AbstractContextManager[Any]:
        """Within it, what is traced knows over which devices rows are divided."""
        return nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def _divided(self, leaf: Any) -> bool:
        return leaf.ndim == 2 and leaf.shape[0] >= self.large

    def _filled(self, leaf: Any) -> Any:
        assert self.mesh is not None
        missing = -leaf.shape[0] % self.mesh.size if leaf.ndim else 0
        if not missing or not self._divided(leaf):
            return leaf
        return jnp.concatenate([leaf, jnp.zeros((missing, leaf.shape[1]), leaf.dtype)])

    def _put(self, leaf: Any) -> Any:
        assert self.mesh is not None
        by_row = self._divided(leaf) and leaf.shape[0] % self.mesh.size == 0
        spec = PartitionSpec(ROWS) if by_row else PartitionSpec()
        return _place(leaf, NamedSharding(self.mesh, spec))


def _place(array: Any, where: NamedSharding) -> Any:
    """The array on the devices of ``where``.

    An array on the host of this process has the same values in every other process.
    """
    if where.is_fully_addressable or not getattr(array, "is_fully_addressable", True):
        return jax.device_put(array, where)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        bits = _place(jax.random.key_data(array), where)
        return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(array))
    held = np.asarray(array)
    return jax.make_array_from_callback(held.shape, where, lambda index: held[index])


def placement_over(devices: int, batch: int, large: int = LARGE) -> Placement:
    """The placement over so many devices, of all processes that take part.

    Raises:
      InputError: there are fewer devices, or the batch can't be divided evenly.
    """
    if devices < 1:
        raise InputError(f"devices is {devices}: it must be at least 1")
    if devices == 1:
        return Placement(None, large)
    have = jax.devices()
    if devices > len(have):
        raise InputError(f"devices is {devices}: there are {len(have)} ({have[0]}, …)")
    if batch % devices:
        raise InputError(f"batch {batch} can't be divided among {devices} devices")
    mesh = jax.make_mesh(
        (devices,), (ROWS,), axis_types=(AxisType.Auto,), devices=have[:devices]
    )
    return Placement(mesh, large)
