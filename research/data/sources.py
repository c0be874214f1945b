"""The data sets and their sources: load takes the first source that has one."""

import os
import zipfile
from pathlib import Path
from typing import NamedTuple

from research.data.cache import (
    default_root,
    read_cached,
    set_aside,
    workspace,
    write_cached,
)
from research.data.download import (
    INSIDE,
    Unavailable,
    download,
    fetch_wheel,
    registered,
)
from research.data.formats import LAYOUTS, read
from research.data.readers import Place
from research.notices import say
from research.registry import Registry
from research.types import InputError, Ratings, check


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


def load(name: str, data_dir: str | None = None, cache: Path | None = None) -> Ratings:
    """Loads a data set from the first source that has it.

    Sources in order: data_dir, which alone is used if it is set; $MOVIELENS_DIR; the
    cache of an earlier download; the download tensorflow-datasets knows; for ml-100k
    the copy in a wheel. Whatever the source, the same ratings give the same digest.

    Args:
      name: a name in DATASETS.
      data_dir: a folder with GroupLens's folders or zips, or one of the folders.
      cache: folder of downloads, by default ``default_root()``.

    Returns:
      Ratings sorted by (user, item), user and item being rows of the tables;
      timestamps in seconds, ratings from 0.5 to 5.

    Raises:
      InputError: the name is unknown, data_dir lacks the data set, a row is
        malformed, a download isn't what it must be, or no source has the data set.
    """
    ratings = _load(DATASETS.choose(name), data_dir, cache or default_root())
    check(ratings.users)
    check(ratings.items)
    return check(ratings)


def _find(name: str, folder: Path, files: tuple[str, ...]) -> Place | list[str]:
    """Looks for a data set's files in the places a folder may hold them.

    Args:
      name: of the data set.
      folder: holds the data set's folder or its zip, or is the data set's folder.
      files: the files that must be there.

    Returns:
      The first place that has all the files; else the paths that were looked at and
      aren't there.
    """
    places = [Place(folder / name)]
    places += [Place(folder / f"{name}.zip", inside) for inside in (f"{name}/", "")]
    # The csv sets share their file names: ml-20m's own folder must not pass for ml-25m.
    if folder.name == name or folder.name not in DATASETS:
        places.append(Place(folder))
    for place in places:
        if all(place.has(file) for file in files):
            return place
    return _looked_at(places, files)


def _looked_at(places: list[Place], files: tuple[str, ...]) -> list[str]:
    """Each missing path once: the archive rather than its members if it isn't there."""
    paths: list[str] = []
    for place in places:
        if place.inside is not None and not zipfile.is_zipfile(place.path):
            damaged = " (not a zip archive)" if place.path.exists() else ""
            paths.append(f"{place.path}{damaged}")
        else:
            paths += [place.label(file) for file in files if not place.has(file)]
    return list(dict.fromkeys(paths))


def _load(dataset: DataSet, data_dir: str | None, root: Path) -> Ratings:
    name, files = dataset.name, LAYOUTS[dataset.layout].files
    if data_dir is not None:
        place = _find(name, Path(data_dir).expanduser(), files)
        if not isinstance(place, Place):
            raise InputError(
                f"{name} isn't in the data folder {data_dir}: "
                f"looked for {', '.join(place)}"
            )
        return read(name, place, dataset.layout)
    tried = []
    if hint := os.environ.get("MOVIELENS_DIR"):
        place = _find(name, Path(hint).expanduser(), files)
        if isinstance(place, Place):
            return read(name, place, dataset.layout)
        tried.append(f"$MOVIELENS_DIR: it lacks {', '.join(place)}")
        say(f"{name}: {tried[-1]}; going on to the next source")
    if cached := read_cached(root, name):
        return cached
    for source in (_archive, _wheel):
        try:
            ratings = source(dataset, root)
        except Unavailable as error:
            tried.append(str(error))
            say(f"{name}: {error}; going on to the next source")
            continue
        write_cached(root, ratings)
        return ratings
    raise InputError(
        f"{name}: no source has it; tried {'; '.join(tried)}. "
        "Give a folder that holds it with --data-dir"
    )


def _archive(dataset: DataSet, root: Path) -> Ratings:
    archive = registered(dataset.name)
    with workspace(root) as folder:
        path = download(dataset.name, archive, folder, root)
        return read(dataset.name, Place(path, f"{dataset.name}/"), dataset.layout)


def _wheel(dataset: DataSet, root: Path) -> Ratings:
    if dataset.digest is None:
        raise Unavailable("no wheel has a copy")
    with workspace(root) as folder:
        wheel = fetch_wheel(folder)
        try:
            ratings = read(dataset.name, Place(wheel, INSIDE), "wheel")
            if ratings.digest == dataset.digest:
                return ratings
            problem = (
                f"{wheel.name}: its {dataset.name} has the digest "
                f"{ratings.digest[:12]}... instead of {dataset.digest[:12]}..."
            )
        except InputError as error:
            problem = str(error)
        raise InputError(f"{problem}; not used, kept as {set_aside(wheel, root)}")
