"""Stores the arrays of many runs as a few stacks, with the bytes of numbers apart.

Runs of a grid have arrays of the same type and shape, and a place in one differs
little from the same place in the next. One array with the run as its last axis, with
all first bytes of its numbers before all second ones, is two thirds as large,
compressed, as an array per run.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy import ndarray

Place = tuple[str, int]  # a stack's name and an index along its last axis


class Stacks:
    """Collects arrays by the name of what they measure; equal ones are kept once."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, tuple[int, ...]], str] = {}
        self._members: dict[str, list[ndarray]] = {}
        self._places: dict[tuple[str, bytes], Place] = {}

    def put(self, part: str, values: ndarray) -> Place:
        """Adds an array, unless an equal one of this part is there; gives its place."""
        kind = part, values.dtype.str, values.shape
        name = self._names.setdefault(kind, f"a{len(self._names)}")
        members = self._members.setdefault(name, [])
        key = name, hashlib.sha256(values.tobytes()).digest()
        if key not in self._places:
            self._places[key] = name, len(members)
            members.append(values)
        return self._places[key]

    def arrays(self) -> dict[str, ndarray]:
        """The stacks as bytes, [bytes of a number, ..., arrays], by name."""
        return {
            name: _bytes_apart(np.stack(members, axis=-1))
            for name, members in self._members.items()
        }

    def types(self) -> dict[str, str]:
        """The type of the numbers of each stack, by its name."""
        return {name: members[0].dtype.str for name, members in self._members.items()}


def _bytes_apart(values: Shaped[ndarray, "*shape"]) -> UInt8[ndarray, "byte *shape"]:
    size = values.dtype.itemsize
    each = np.frombuffer(values.tobytes(), np.uint8).reshape(*values.shape, size)
    return np.moveaxis(each, -1, 0)


def unstacked(
    arrays: Mapping[str, ndarray], types: Mapping[str, str]
) -> dict[str, ndarray]:
    """The stacks behind the result of ``Stacks.arrays``, array first: [arrays, ...].

    Raises:
      KeyError, TypeError, ValueError: these aren't such arrays and types.
    """
    out = {}
    for name, apart in arrays.items():
        each = np.moveaxis(apart, (0, -1), (-1, 0))
        out[name] = np.frombuffer(each.tobytes(), types[name]).reshape(each.shape[:-1])
    return out
