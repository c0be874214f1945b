"""The registry of grids: one file per question."""

from experiments.grid import Grid
from experiments.grids.baselines import BASELINE_GRID
from experiments.grids.cache import CACHE
from experiments.grids.choose import CHOOSE
from experiments.grids.correction import CORRECTION
from experiments.grids.depth import DEPTH
from experiments.grids.features import FEATURES
from experiments.grids.frontier import FRONTIER
from experiments.grids.future import FUTURE
from experiments.grids.history import HISTORY
from experiments.grids.library import LIBRARY
from experiments.grids.loader import LOADER
from experiments.grids.losses import LOSSES
from experiments.grids.negatives import NEGATIVES
from experiments.grids.positives import POSITIVES
from experiments.grids.recipe import RECIPE
from experiments.grids.recipes import RECIPES_GRID
from experiments.grids.search import SEARCH
from experiments.grids.ssb import QUESTIONS, SSB
from experiments.grids.temperature import TEMPERATURE
from research.registry import Registry

GRIDS: Registry[Grid] = Registry(
    "grid",
    {
        grid.name: grid
        for grid in (
            *(QUESTIONS, SSB, CORRECTION, RECIPES_GRID, FUTURE),
            *(LOSSES, NEGATIVES, LIBRARY, LOADER, CACHE),
            *(TEMPERATURE, FRONTIER),
            *(FEATURES, DEPTH, HISTORY, SEARCH),
            *(POSITIVES, BASELINE_GRID, RECIPE, CHOOSE),
        )
    },
    cached=False,
)
