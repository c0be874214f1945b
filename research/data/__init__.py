"""MovieLens data sets as columns: where they come from, how they are read and named."""

from research.data.sources import DATASETS, load

__all__ = ["DATASETS", "load"]
