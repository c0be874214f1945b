"""The registry of grids: one file a question."""

from experiments.grids.grid import Grid
from experiments.grids.ssb import SSB
from experiments.grids.temperature import TEMPERATURE

__all__ = ["GRIDS"]

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (SSB, TEMPERATURE)}
