"""The registry of grids: one file per question."""

from experiments.grid import Grid
from experiments.grids.baselines import BASELINE_GRID
from experiments.grids.cache import CACHE
from experiments.grids.cache_tuned import CACHE_TUNED
from experiments.grids.choose import CHOOSE
from experiments.grids.correction import CORRECTION
from experiments.grids.depth import DEPTH
from experiments.grids.fair import FAIR
from experiments.grids.fair_prior import FAIR_PRIOR
from experiments.grids.features import FEATURES
from experiments.grids.frontier import FRONTIER
from experiments.grids.future import FUTURE, FUTURE_TUNED
from experiments.grids.history import HISTORY
from experiments.grids.library import LIBRARY
from experiments.grids.loader import LOADER
from experiments.grids.losses import LOSSES
from experiments.grids.negatives import NEGATIVES
from experiments.grids.other_data import OTHER_DATA
from experiments.grids.positives import POSITIVES
from experiments.grids.push import PUSH
from experiments.grids.recipe import RECIPE
from experiments.grids.recipes import RECIPES_GRID
from experiments.grids.sample_size import SAMPLE_SIZE
from experiments.grids.search import SEARCH
from experiments.grids.ssb import QUESTIONS, SSB, SSB_FIRST
from experiments.grids.temperature import TEMPERATURE
from research.registry import Registry

GRIDS: Registry[Grid] = Registry(
    "grid",
    {
        grid.name: grid
        for grid in (
            *(QUESTIONS, SSB, SSB_FIRST, FAIR, FAIR_PRIOR, CORRECTION),
            RECIPES_GRID,
            *(FUTURE, FUTURE_TUNED),
            *(LOSSES, NEGATIVES, SAMPLE_SIZE, PUSH, LIBRARY, LOADER),
            *(CACHE, CACHE_TUNED),
            *(TEMPERATURE, FRONTIER),
            *(FEATURES, DEPTH, HISTORY, SEARCH),
            POSITIVES,
            *(OTHER_DATA, BASELINE_GRID),
            *(RECIPE, CHOOSE),
        )
    },
    cached=False,
)
