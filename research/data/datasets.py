"""The data sets that can be named, and how a name is looked up."""

from difflib import get_close_matches
from typing import NamedTuple

from research.types import InputError

__all__ = ["DATASETS", "DataSet", "choose"]


class DataSet(NamedTuple):
    """A data set's name, what it is, the layout of its files.

    digest is what a copy of unknown origin must have to be trusted, or None where
    every source brings a checksum of its own.
    """

    name: str
    description: str
    layout: str
    digest: str | None = None


_RECORDS = (
    DataSet(
        "ml-100k",
        "100,000 ratings of 1,682 films by 943 users (1997-1998), demographics",
        "100k",
        # Of the ratings and tables in the recbole 1.2.1 wheel.
        "ae77824d0ad1c423e0b8f1503e8f03269a97a074de5974947c5257ce8c38eca3",
    ),
    DataSet(
        "ml-1m",
        "1,000,209 ratings of 3,883 films by 6,040 users (2000-2003), demographics",
        "1m",
    ),
    DataSet(
        "ml-latest-small",
        "about 100,000 ratings of 9,700 films by 610 users (1996-2018)",
        "csv",
    ),
    DataSet(
        "ml-20m",
        "20,000,263 ratings of 27,278 films by 138,493 users (1995-2015)",
        "csv",
    ),
    DataSet(
        "ml-25m",
        "25,000,095 ratings of 62,423 films by 162,541 users (1995-2019)",
        "csv",
    ),
)

DATASETS: dict[str, DataSet] = {record.name: record for record in _RECORDS}


def choose(name: str) -> DataSet:
    """The record of a data set.

    Raises:
      InputError: the name is unknown; the line gives the choices and the nearest.

    >>> choose("ml-1m").layout
    '1m'
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(name, DATASETS, n=1, cutoff=0.4)
    nearest = f" (nearest: {near[0]})" if near else ""
    raise InputError(
        f"unknown data set '{name}': choose from {', '.join(DATASETS)}{nearest}"
    )
