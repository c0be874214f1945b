"""The data sets by name, and the name of a data set of one's own, which is a path."""

import re
import stat
import unicodedata
from pathlib import Path
from typing import NamedTuple

from research.registry import Registry
from research.types import InputError

# Endings of files of interactions, longest first, and what separates their fields.
ENDINGS = {
    ".csv.gz": ",",
    ".tsv.gz": "\t",
    ".inter.gz": "\t",
    ".parquet": "",
    ".inter": "\t",
    ".csv": ",",
    ".tsv": "\t",
}
ROLE = "interactions"  # the file of a folder that has them


class DataSet(NamedTuple):
    """A data set's name, what it is, the layout of its files.

    digest is what a copy of unknown origin must have to be trusted, or None where
    every source brings a checksum of its own.
    """

    name: str
    description: str
    layout: str
    digest: str | None = None


_DATASETS = (
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

DATASETS = Registry("data set", {dataset.name: dataset for dataset in _DATASETS})


def is_own(dataset: str) -> bool:
    """Whether a data set is a path instead of a name."""
    return dataset not in DATASETS


def name_of(dataset: str) -> str:
    """The name of a data set in folders, tables and figures; never a path.

    That of one's own is the folder's, or the file's without its ending; a file called
    interactions is named after its folder. "-own" is added to the name of another set.

    >>> name_of("ml-100k"), name_of("/data/my shop/clicks.csv.gz"), name_of("x/ml-1m")
    ('ml-100k', 'clicks', 'ml-1m-own')
    """
    if dataset in DATASETS:
        return dataset
    path = Path(dataset)
    if path.name in ("", ".."):
        path = path.resolve()
    stem = _stem(path.name)
    if stem == ROLE and stem != path.name:
        stem = path.resolve().parent.name
    stem = unicodedata.normalize("NFC", stem)  # macOS names files in NFD
    name = re.sub(r"[^\w.+]+", "-", stem).strip("-.") or "own"
    return f"{name}-own" if name in DATASETS else name


def _stem(name: str) -> str:
    for ending in ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def check_dataset(dataset: str) -> None:
    """Checks that a data set is a known name, or a file or folder that is there.

    Raises:
      InputError: it is neither.
    """
    if dataset in DATASETS:
        return
    if not dataset.strip():
        raise InputError("the data set has no name")
    try:
        mode = Path(dataset).stat().st_mode
    except (OSError, ValueError) as error:
        if not ("/" in dataset or _stem(dataset) != dataset):
            DATASETS.choose(dataset)
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"data set {dataset}: {reason}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"data set {dataset}: neither a file nor a folder")
