"""Data sets as columns: where they come from, how they are read and named."""

from research.data.names import DATASETS, check_dataset, is_own, name_of
from research.data.sources import load

__all__ = ["DATASETS", "check_dataset", "is_own", "load", "name_of"]
