"""MovieLens data sets as columns: where they come from, how they are read and named."""

from research.data.places import DATASETS
from research.data.sources import load

__all__ = ["DATASETS", "load"]
