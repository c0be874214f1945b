"""What is done block of rows by block of rows, on many devices: each has its own rows.

Left to itself the compiler divides a block among the devices, and they wait for each
other at each; so here they are told to loop over their own rows alone.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

__all__ = ["ROWS", "by_rows"]

ROWS = "data"  # the axis of the mesh along which a batch's rows are divided


def by_rows(function: Callable[..., Any], divided: str) -> Callable[..., Any]:
    """The function, on each device of the mesh in use for that device's rows.

    Args:
      function: its result has the rows first; no row depends on another.
      divided: a letter an argument: r where rows come first in it, w where every
        device needs the whole. Gradients of the latter are summed over the devices.

    Returns:
      The function itself where no mesh is in use (``jax.set_mesh``).
    """
    if jax.sharding.get_abstract_mesh().empty:
        return function
    specs = {"r": PartitionSpec(ROWS), "w": PartitionSpec()}
    return jax.shard_map(
        function,
        in_specs=tuple(specs[letter] for letter in divided),
        out_specs=specs["r"],
        check_vma=False,  # the sums that a loop starts with are the same everywhere
    )
