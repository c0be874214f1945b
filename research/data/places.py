"""Where files lie: a folder, or a folder inside a zip, read without unpacking it."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, NamedTuple

from research.types import InputError


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


class Place(NamedTuple):
    """A folder on disk (inside is None), or the folder ``inside`` the zip at path.

    inside is "" or ends with "/".
    """

    path: Path
    inside: str | None = None

    def label(self, file: str) -> str:
        """How a message names one of the files."""
        return str(self.path / f"{self.inside or ''}{file}")

    def has(self, file: str) -> bool:
        """Whether the file is there; False for an archive that can't be read."""
        if self.inside is None:
            return (self.path / file).is_file()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return self.inside + file in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return False

    def size(self, file: str) -> int:
        """Bytes of the file, unpacked."""
        if self.inside is None:
            return (self.path / file).stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.inside + file).file_size

    @contextmanager
    def open(self, file: str) -> Iterator[IO[bytes]]:
        """The file's bytes as a stream.

        Raises:
          InputError: the file can't be read, or the archive turns out damaged.
        """
        try:
            if self.inside is None:
                with (self.path / file).open("rb") as stream:
                    yield stream
            else:
                with (
                    zipfile.ZipFile(self.path) as archive,
                    archive.open(self.inside + file) as member,
                ):
                    yield member
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"{self.label(file)}: damaged archive ({error})") from None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self.label(file)}: can't be read ({reason})") from None


def find(name: str, folder: Path, files: tuple[str, ...]) -> Place | list[str]:
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
    """Each path missing once: the archive rather than its members if it isn't there."""
    paths: list[str] = []
    for place in places:
        if place.inside is not None and not zipfile.is_zipfile(place.path):
            damaged = " (not a zip archive)" if place.path.exists() else ""
            paths.append(f"{place.path}{damaged}")
        else:
            paths += [place.label(file) for file in files if not place.has(file)]
    return list(dict.fromkeys(paths))
